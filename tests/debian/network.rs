//! What guests see of their network: their metadata, each other, and what holds while the daemon is down.

use super::{SOON, until};
use kiln::base64;
use kiln_harness::{Api, Console, Debian, Namespace};
use serde_json::{Value, json};

/// In a guest: the metadata service, and a command that asks it for a token, which is the shell's `$token` then.
const METADATA: &str = "http://169.254.169.254/latest";
const GET_TOKEN: &str = "token=$(curl -sS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' \
                         http://169.254.169.254/latest/api/token)";
const WALK_METADATA: &str = include_str!("walk-metadata.py");

/// A port on which a guest answers what `answer_when_asked` says, and one that `meet_as_their_group_says` connects to.
const ASKED_PORT: u16 = 7001;
const GROUP_PORT: u16 = 7000;

/// A guest with what it is known by.
pub struct Guest {
    pub id: String,
    address: String,
    console: Console,
}

impl Guest {
    pub fn new(api: &Api, id: &str, console: Console) -> Self {
        Self {
            id: id.into(),
            address: text(&api.instance(id)["PrivateIpAddress"]),
            console,
        }
    }

    /// Takes up its console again, which went with the daemon.
    pub fn reconnect(&mut self, api: &Api) {
        self.console = api.console(&self.id);
    }

    /// What the metadata service says at a path, to who has a token.
    #[track_caller]
    pub fn metadata(&mut self, path: &str) -> String {
        self.shell(&format!(
            "{GET_TOKEN}; curl -sS -H \"X-aws-ec2-metadata-token: $token\" {METADATA}/{path}"
        ))
    }

    #[track_caller]
    pub fn shell(&mut self, command: &str) -> String {
        self.console.shell(command, SOON)
    }

    /// Waits until a command succeeds.
    #[track_caller]
    pub fn wait_until(&mut self, command: &str) {
        self.shell(&format!("timeout 240 sh -c 'until {command}; do sleep 0.2; done'"));
    }

    /// Starts a command that goes on while others are typed.
    #[track_caller]
    pub fn background(&mut self, command: &str) {
        self.shell(&format!("setsid sh -c '{command}' < /dev/null > /dev/null 2>&1 & true"));
    }

    /// Puts a program there.
    #[track_caller]
    pub fn install(&mut self, path: &str, program: &str) {
        let program = base64::encode(program.as_bytes());
        self.shell(&format!("echo {program} | base64 -d > {path}; chmod +x {path}"));
    }
}

/// Launches an instance in another VPC that has the blocks of the default one, with the address that `other` has there.
pub fn run_twin(debian: &Debian, other: &Guest) -> String {
    let api = debian.api();
    let described = api.instance(&other.id);
    let subnets = api.call("DescribeSubnets", &json!({"SubnetIds": [described["SubnetId"]]}));
    let vpcs = api.call("DescribeVpcs", &json!({"VpcIds": [described["VpcId"]]}));
    let vpc = api.call("CreateVpc", &json!({"CidrBlock": vpcs["Vpcs"][0]["CidrBlock"]}));
    let block = &subnets["Subnets"][0]["CidrBlock"];
    let subnet = api.call(
        "CreateSubnet",
        &json!({"VpcId": vpc["Vpc"]["VpcId"], "CidrBlock": block}),
    );
    let place = json!({"SubnetId": subnet["Subnet"]["SubnetId"], "PrivateIpAddress": other.address});
    debian.run_with("t3.micro", &place)
}

/// Metadata is of the instance that asks; without a token it is refused, and a token is of no use elsewhere.
pub fn metadata_is_each_ones_own(one: &mut Guest, other: &mut Guest) {
    assert_eq!(one.metadata("meta-data/instance-id"), one.id);
    assert_eq!(other.metadata("meta-data/instance-id"), other.id);
    let status = format!("curl -sS -o /dev/null -w '%{{http_code}}' {METADATA}/meta-data/instance-id");
    assert_eq!(one.shell(&status), "401");
    let token = one.shell(&format!("{GET_TOKEN}; echo $token"));
    let stolen = format!("{status} -H 'X-aws-ec2-metadata-token: {token}'");
    assert_eq!(one.shell(&stolen), "200");
    assert_eq!(other.shell(&stolen), "401");
}

/// The packet that brings a token may pass as many routers as the instance's hop limit says; a change holds at once.
pub fn tokens_go_as_far_as_the_hop_limit(api: &Api, guest: &mut Guest) {
    // Of the service's packets only those of a token carry its header; the others go as far as any.
    let listen = "tcpdump -n -v -A -i any -c 1 \"src host 169.254.169.254 and tcp[tcpflags] & tcp-push != 0\" \
                  > /tmp/packet 2> /tmp/tcpdump";
    for limit in [1, 3] {
        let request = json!({"InstanceId": guest.id, "HttpPutResponseHopLimit": limit});
        api.call("ModifyInstanceMetadataOptions", &request);
        guest.shell("rm -f /tmp/packet /tmp/tcpdump");
        guest.background(listen);
        guest.wait_until("grep -qs listening /tmp/tcpdump");
        guest.shell(GET_TOKEN);
        guest.wait_until("grep -qsi x-aws-ec2-metadata-token-ttl /tmp/packet");
        assert_eq!(
            guest.shell("grep -o 'ttl [0-9]*' /tmp/packet | head -1"),
            format!("ttl {limit}")
        );
    }
}

/// The VPC's name server knows the names of its addresses, both ways.
pub fn private_names_are_resolved(api: &Api, guest: &mut Guest, other: &Guest) {
    let name = text(&api.instance(&other.id)["PrivateDnsName"]);
    let found = guest.shell(&format!("getent ahostsv4 {name}"));
    assert!(found.starts_with(&other.address), "{found}");
    let found = guest.shell(&format!("getent hosts {}", other.address));
    assert!(found.ends_with(&name), "{found}");
}

/// A key that EC2 Instance Connect sends is there for its user, and for no other.
pub fn a_key_that_is_sent_is_there(api: &Api, guest: &mut Guest) {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAuXAxR6RLEQRvLLDNGFcDU9SzRxCAmDVVUlQwK2YLVQ";
    let send = "POST / HTTP/1.1\r\nX-Amz-Target: AWSEC2InstanceConnectService.SendSSHPublicKey";
    let request = json!({"InstanceId": guest.id, "InstanceOSUser": "admin", "SSHPublicKey": key});
    let (status, said) = api.ask(send, &request.to_string()).unwrap();
    assert_eq!(status, 200, "{said}");
    assert_eq!(guest.metadata("meta-data/managed-ssh-keys/active-keys/admin/"), key);
    assert_eq!(
        guest.metadata("meta-data/managed-ssh-keys/active-keys/root/"),
        "Not Found"
    );
}

/// A client that follows the listings can read all that is listed, and finds what EC2 has.
pub fn every_path_of_the_metadata_is_there(guest: &mut Guest) {
    guest.install("/root/walk-metadata", WALK_METADATA);
    let read = guest.shell("python3 /root/walk-metadata");
    println!("paths of the metadata that a guest read: {}", read.lines().count());
    let mac = guest.shell("cat /sys/class/net/e*/address");
    for path in [
        "meta-data/ami-id",
        "meta-data/block-device-mapping/root",
        "meta-data/instance-type",
        "meta-data/local-ipv4",
        "meta-data/placement/availability-zone",
        "meta-data/services/partition",
        "dynamic/instance-identity/document",
        &format!("meta-data/network/interfaces/macs/{mac}/subnet-ipv4-cidr-block"),
        &format!("meta-data/network/interfaces/macs/{mac}/vpc-id"),
    ] {
        let path = format!("/latest/{path}");
        assert!(
            read.lines().any(|line| line == path),
            "{path} is not listed, but\n{read}"
        );
    }
}

/// `twin` has the address of `far` in a VPC of its own: `near`, which is in far's, reaches far alone, and twin neither.
pub fn instances_of_two_vpcs_do_not_meet(near: &mut Guest, far: &Guest, twin: &mut Guest) {
    assert_eq!(far.address, twin.address);
    near.shell(&format!("ping -c 1 -W 20 {}", far.address));
    assert_eq!(
        twin.shell("nstat -asz IcmpInEchos | awk '/IcmpInEchos/ { print $2 }'"),
        "0"
    );
    twin.shell(&format!("! ping -c 1 -W 5 {}", near.address));
}

/// The guest answers ARP, until its interface is down.
pub fn its_status_check_is_true(api: &Api, guest: &mut Guest) {
    let status = || {
        let answer = api.call("DescribeInstanceStatus", &json!({"InstanceIds": [guest.id]}));
        text(&answer["InstanceStatuses"][0]["InstanceStatus"]["Status"])
    };
    // A guest that is slow to answer is asked again.
    until(|| status() == "ok");
    guest
        .console
        .shell("ip link set $(ls /sys/class/net | grep ^e) down", SOON);
    assert_eq!(status(), "impaired");
}

/// Both are in the VPC's default group, which lets its members through to each other until that rule is revoked: then a
/// connection that runs goes on, and a new one is not let through. What bears another's address never is.
pub fn they_meet_as_their_group_says(api: &Api, one: &mut Guest, other: &mut Guest) {
    let own = one.shell("hostname -I");
    assert!(own.split_whitespace().any(|own| own == one.address), "{own}");
    let far = &other.address.clone();
    one.shell(&format!("ping -c 1 -W 20 {far}"));
    one.shell(&format!(
        "ip addr add 172.31.200.200/32 dev lo; ! ping -c 1 -W 5 -I 172.31.200.200 {far}"
    ));

    other.background(&format!(
        "socat -u TCP-LISTEN:{GROUP_PORT},fork OPEN:/tmp/heard,creat,append"
    ));
    one.shell("echo before > /tmp/said");
    one.background(&format!(
        "until tail -n +1 -f /tmp/said | socat -u - TCP:{far}:{GROUP_PORT}; do sleep 1; done"
    ));
    other.wait_until("grep -qs before /tmp/heard");
    let groups = api.call("DescribeSecurityGroups", &json!({"GroupIds": [group_of(api, &one.id)]}));
    let group = &groups["SecurityGroups"][0]["GroupId"];
    let rule = json!({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]});
    api.call(
        "RevokeSecurityGroupIngress",
        &json!({"GroupId": group, "IpPermissions": [rule]}),
    );
    one.shell("echo after >> /tmp/said");
    other.wait_until("grep -qs after /tmp/heard");
    one.shell(&format!("! ping -c 1 -W 5 {far}"));
    one.shell(&format!(
        "! socat -u /dev/null TCP:{far}:{GROUP_PORT},connect-timeout=5"
    ));
}

/// Has a guest ask for its metadata and for its lease whenever somebody connects to a port of it.
pub fn answer_when_asked(guest: &mut Guest) {
    let script = format!(
        "#!/bin/sh\n\
         {GET_TOKEN}\n\
         curl -sS -H \"X-aws-ec2-metadata-token: $token\" {METADATA}/meta-data/instance-id\n\
         link=$(ip -o -4 addr | grep {} | awk '{{ print $2 }}')\n\
         dhclient -1 -v -sf /bin/true -lf /tmp/leases -pf /tmp/dhclient.pid $link 2>&1\n",
        guest.address
    );
    guest.install("/root/ask", &script);
    guest.background(&format!("socat TCP-LISTEN:{ASKED_PORT},fork EXEC:/root/ask"));
}

/// With the daemon gone, asks that guest from within its VPC, which its monitor holds open.
pub fn metadata_and_dhcp_go_on(monitor: u32, guest: &Guest) {
    let Guest { id, address, .. } = guest;
    let connect = format!("TCP:{address}:{ASKED_PORT},retry=20,interval=1");
    let said = Namespace::of_process(monitor).ask(&["socat", "-t", "120", "STDIO,ignoreeof", &connect]);
    assert!(said.starts_with(id.as_str()), "{said}");
    assert!(said.contains(&format!("DHCPACK of {address} from")), "{said}");
}

fn group_of(api: &Api, id: &str) -> Value {
    api.instance(id)["SecurityGroups"][0]["GroupId"].clone()
}

/// A text member.
pub fn text(value: &Value) -> String {
    value.as_str().expect("It is text").to_owned()
}
