// An AMI made by Packer of one that is there: called by tests/clients.rs (of a small guest, which nothing can be done in) and
// tests/packer.rs (of Debian, with a marker left in it), by the name of the build. The environment says who asks.
variable "endpoint" {}
variable "region" {}
variable "image" {}
variable "name" {}
variable "type" {
  default = "t3.nano"
}

source "amazon-ebs" "kiln" {
  custom_endpoint_ec2     = var.endpoint
  region                  = var.region
  skip_region_validation  = true
  skip_metadata_api_check = true
  source_ami              = var.image
  ami_name                = var.name
  ami_description         = "made by Packer"
  instance_type           = var.type
  tags                    = { stage = "golden" }
  snapshot_tags           = { stage = "golden" }
  run_tags                = { Name = "packer" }
  run_volume_tags         = { Name = "packer" }
  // Here all of it may be emulated, and others run beside it.
  aws_polling {
    delay_seconds = 2
    max_attempts  = 900
  }
}

build {
  name = "small"
  source "source.amazon-ebs.kiln" {
    communicator = "none"
  }
}

build {
  name = "debian"
  source "source.amazon-ebs.kiln" {
    communicator                = "ssh"
    ssh_username                = "debian"
    ssh_interface               = "public_ip"
    associate_public_ip_address = true
    ssh_timeout                 = "30m"
    ssh_handshake_attempts      = 1000
  }
  provisioner "shell" {
    inline = [
      "cloud-init status --wait > /dev/null",
      "echo \"built in $(basename $(readlink /var/lib/cloud/instance))\" | sudo tee /marker",
      "sync",
    ]
  }
}
