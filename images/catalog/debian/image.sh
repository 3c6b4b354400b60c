# Turning Debian packages into a disk image that boots by BIOS, by UEFI and by kiln: for the recipes, which source it.
#
# The packages come from Debian's archive, on the mirror that this machine uses; the list is the one of the official
# image. Kernel, initramfs and boot loader are stock, so upgrades inside the guest work as they do anywhere.
# The outcome is a sparse raw disk of 3 GiB with 600 to 700 MiB in it.
#
# mmdebstrap makes the root as a tarball. `configure` and `grub` run inside that, as hooks. What follows makes file
# systems and the partition table out of it without mounting anything. Every identifier comes from the image's name,
# and every time from SOURCE_DATE_EPOCH, so the same packages give the same bytes.
#
# Needs mmdebstrap, mkfs.ext4, mkfs.vfat, mtools and sgdisk; no root, but without it user namespaces with
# subordinate ids. Progress goes to standard error.
#
# For tests: KILN_RECIPE_INCLUDE adds packages (with commas between them), KILN_RECIPE_HOOK names a program that is
# run with the root's folder once the packages are in it. Both are empty for the image that users get.
# shellcheck shell=bash

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600} # newer times inside the image are set back to this

# What the images of all releases have.
packages=(
  apparmor apt-listchanges apt-utils bash-completion bind9-host bsdextrautils ca-certificates
  cloud-guest-utils cloud-init cloud-initramfs-growroot curl dbus ethtool eject fdisk file gdisk grub-cloud-amd64
  init iproute2 iptables iputils-ping less libnss-myhostname libpam-systemd linux-image-cloud-amd64
  locales lsb-release man-db manpages media-types nano netbase netplan.io openssh-client openssh-server pciutils
  polkitd procps psmisc python3 reportbug screen socat ssh-import-id sudo systemd systemd-resolved systemd-sysv
  systemd-timesyncd tcpdump traceroute tzdata udev unattended-upgrades uuid-runtime vim vim-tiny wget whiptail xz-utils zstd
)

say() { echo "$(basename "$0"): $SECONDS s: $*" >&2; }

# Root, or the next best thing: a user namespace with our subordinate ids.
rooted() { if [ "$(id -u)" = 0 ]; then "$@"; else unshare --map-root-user --map-auto "$@"; fi; }

# A UUID of version 4's form that is always the same for the same words.
uuid() { sha256sum <<< "kiln image $*" | sed -E 's/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/\1-\2-4\3-8\4-\5/'; }

# build_image NAME SUITE OUT PACKAGE...: the packages are those that only this release has. KILN_ESP_MOUNT is how it mounts the
# EFI partition: the last three fields of its line in /etc/fstab.
build_image() {
  local name=$1 suite=$2 out=$3 work hooks=()
  shift 3
  set -- "${packages[@]}" "$@"
  work=$(mktemp -d "$(dirname "$(readlink -f "$out")")/.${name}.XXXXXX")
  chmod 755 "$work"
  # shellcheck disable=SC2064 # the folder as it is called now
  trap "rooted rm -rf '$work'" EXIT

  export KILN_IMAGE_SUITE=$suite KILN_ROOT_UUID KILN_ROOT_PARTUUID KILN_ESP_ID KILN_ESP_MOUNT=${KILN_ESP_MOUNT:-defaults 0 0}
  KILN_ROOT_UUID=$(uuid "$name" root) KILN_ROOT_PARTUUID=$(uuid "$name" root partition)
  KILN_ESP_ID=$(uuid "$name" esp | head -c 8 | tr a-f A-F)

  "$here/../apt-sources" "$suite" > "$work/sources.list"
  [ -z "${KILN_RECIPE_HOOK-}" ] || hooks=(--customize-hook="$KILN_RECIPE_HOOK")
  say "installing $# packages and what they need"
  mmdebstrap --quiet --variant=minbase --format=tar --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --dpkgopt=force-unsafe-io \
    --include="$(IFS=,; echo "$*")${KILN_RECIPE_INCLUDE:+,$KILN_RECIPE_INCLUDE}" \
    "${hooks[@]}" --customize-hook="$here/configure" \
    --customize-hook="$here/grub" --customize-hook="$here/clean" \
    "$suite" "$work/root.tar" "$work/sources.list" >&2
  say "making the disk"
  make_disk "$name" "$work"
  mv "$work/disk" "$out"
  say "$out: $(du -m "$out" | cut -f1) MiB"
}

# make_disk NAME WORK: WORK/root.tar becomes WORK/disk, laid out as Debian's cloud images are.
make_disk() {
  local name=$1 work=$2 size=3G root_first=262144 esp_first=8192 esp_sectors=253952 root_end
  # The disk's last MiB holds the second partition table.
  root_end=$(($(numfmt --from=iec "$size") / 512 - 2048))
  truncate -s "$size" "$work/disk"
  sgdisk --disk-guid="$(uuid "$name" disk)" \
    --new=14:2048:8191 --typecode=14:ef02 --partition-guid="14:$(uuid "$name" bios)" \
    --new="15:$esp_first:$((esp_first + esp_sectors - 1))" --typecode=15:ef00 \
    --partition-guid="15:$(uuid "$name" esp partition)" \
    --new="1:$root_first:$((root_end - 1))" --typecode=1:8300 --partition-guid="1:$KILN_ROOT_PARTUUID" \
    "$work/disk" > /dev/null
  truncate -s "$(((root_end - root_first) * 512))" "$work/root.ext4"
  truncate -s "$((esp_sectors * 512))" "$work/esp.vfat"
  rooted bash -euo pipefail -c '. "$1/image.sh"; make_file_systems "$2" "$3"' _ "$here" "$work" \
    "$(uuid "$name" hash seed)"
  dd if="$work/root.ext4" of="$work/disk" bs=1M seek="$((root_first / 2048))" conv=notrunc,sparse status=none
  dd if="$work/esp.vfat" of="$work/disk" bs=1M seek="$((esp_first / 2048))" conv=notrunc,sparse status=none
  "$here/bios-setup" "$work/disk" "$work/boot.img" "$work/core.img"
  fallocate --dig-holes "$work/disk"
}

# make_file_systems WORK HASH-SEED: runs as root of some kind, so that the root's files keep their owners.
make_file_systems() {
  local work=$1 seed=$2 root=$1/root
  mkdir "$root"
  tar -x -C "$root" --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*' -f "$work/root.tar"
  cp "$root"/boot/grub/i386-pc/{boot,core}.img "$work"
  mkfs.vfat -i "$KILN_ESP_ID" "$work/esp.vfat" > /dev/null
  (cd "$root/boot/efi" && find . -exec touch -hd "@$SOURCE_DATE_EPOCH" {} + &&
    mcopy -s -p -m -Q -i "$work/esp.vfat" ./* ::)
  rm -rf "${root:?}"/boot/efi/*
  touch -hd "@$SOURCE_DATE_EPOCH" "$root/boot/efi" "$root"
  E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH mkfs.ext4 -q -F -U "$KILN_ROOT_UUID" -O ^metadata_csum_seed,^orphan_file \
    -E "hash_seed=$seed,lazy_itable_init=1,lazy_journal_init=1,nodiscard" -d "$root" "$work/root.ext4"
  rm -rf "$root"
  even_times "$work/root.ext4"
}

# mkfs.ext4 copies the change and access times of the unpacked files: set them to what the recipe says.
even_times() {
  local used
  used=$(dumpe2fs -h "$1" 2> /dev/null | awk '/^Inode count/ { n = $3 } /^Free inodes/ { print n - $3 }')
  seq 1 "$used" | awk -v t="@$SOURCE_DATE_EPOCH" '{ printf "sif <%d> atime %s\nsif <%d> ctime %s\n", $1, t, $1, t }' \
    > "$1.times"
  E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH debugfs -w -f "$1.times" "$1" > /dev/null 2>&1
}
