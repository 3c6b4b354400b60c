//! The instance metadata service, versions 1 and 2: which request is answered what.
//!
//! No input and no output here: [`super::connection`] brings the requests and takes the answers away.

use super::facts::Facts;
use super::http::{Answer, BAD_REQUEST, FORBIDDEN, METHOD_NOT_ALLOWED, NOT_FOUND, Request, UNAUTHORIZED};
use super::tokens::{SECONDS_MAX, Tokens};
use super::tree::{Directory, Node};
use std::borrow::Cow;
use std::time::Duration;

/// The versions of EC2's service. All are the last one: none has taken a path away.
const VERSIONS: [&str; 31] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-07-09",
    "2022-09-24",
    "2023-02-15",
    "2024-04-11",
    "latest",
];
/// Where tokens are made.
const TOKEN: [&str; 3] = ["latest", "api", "token"];
const USER_DATA: &str = "user-data";

/// What `request` is answered at the time `now` of `tokens`.
pub fn answer<'a>(request: &Request<'_>, facts: &'a Facts, tokens: &Tokens, now: Duration) -> Answer<'a> {
    if !facts.options.endpoint {
        return Answer::only(FORBIDDEN);
    }
    let Some(path) = names(request.target) else {
        return Answer::only(BAD_REQUEST);
    };
    let allow = match (request.method, path == TOKEN) {
        ("PUT", true) => return issue(request, facts, tokens, now),
        ("GET" | "HEAD", false) => return read(request, &path, facts, tokens, now),
        (_, true) => "PUT",
        (_, false) => "GET, HEAD",
    };
    Answer {
        allow: Some(allow),
        ..Answer::only(METHOD_NOT_ALLOWED)
    }
}

fn issue<'a>(request: &Request<'_>, facts: &Facts, tokens: &Tokens, now: Duration) -> Answer<'a> {
    // A proxy that passes on what the outside world sends shall not fetch tokens for it.
    if request.forwarded {
        return Answer::only(FORBIDDEN);
    }
    let seconds = request.token_seconds.and_then(parse_seconds);
    let Some(seconds) = seconds.filter(|seconds| (1..=SECONDS_MAX).contains(seconds)) else {
        return Answer::only(BAD_REQUEST);
    };
    Answer {
        token_seconds: Some(seconds),
        hop_limit: Some(facts.options.hop_limit),
        ..Answer::text(tokens.issue(now, seconds))
    }
}

fn parse_seconds(value: &[u8]) -> Option<u32> {
    let digits = value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

fn read<'a>(
    request: &Request<'_>,
    path: &[Cow<'_, str>],
    facts: &'a Facts,
    tokens: &Tokens,
    now: Duration,
) -> Answer<'a> {
    let token_seconds = match request.token {
        Some(token) => tokens.seconds_left(now, token),
        None => None,
    };
    let needed = facts.options.tokens_required || request.token.is_some();
    if needed && token_seconds.is_none() {
        return Answer::only(UNAUTHORIZED);
    }
    Answer {
        token_seconds,
        ..find(path, facts).unwrap_or_else(|| Answer::only(NOT_FOUND))
    }
}

fn find<'a>(path: &[Cow<'_, str>], facts: &'a Facts) -> Option<Answer<'a>> {
    let Some((version, path)) = path.split_first() else {
        return Some(Answer::text(VERSIONS.join("\n")));
    };
    if !VERSIONS.contains(&version.as_ref()) {
        return None;
    }
    match path {
        [] => Some(Answer::text(top(facts))),
        [name] if name == USER_DATA => facts.user_data.as_ref().map(|bytes| Answer {
            content_type: "application/octet-stream",
            body: Cow::Borrowed(bytes),
            ..Answer::text("")
        }),
        path => in_tree(path, &facts.tree),
    }
}

/// What a version has. EC2 lists these without slashes.
fn top(facts: &Facts) -> String {
    let listing = facts.tree.listing().replace('/', "");
    let user_data = facts.user_data.is_some().then(|| USER_DATA.to_owned());
    let names = Some(listing).filter(|listing| !listing.is_empty()).into_iter();
    names.chain(user_data).collect::<Vec<_>>().join("\n")
}

/// A value, or the listing of a directory, with or without its slash.
fn in_tree<'a>(path: &[Cow<'_, str>], tree: &'a Directory) -> Option<Answer<'a>> {
    let mut directory = tree;
    let mut names = path.iter();
    while let Some(name) = names.next() {
        match directory.find(name)? {
            Node::Directory(next) => directory = next,
            Node::Leaf(value) => return names.as_slice().is_empty().then(|| Answer::text(value.as_str())),
        }
    }
    Some(Answer::text(directory.listing()))
}

/// The names in the path of `target` (RFC 9112, 3.2), decoded; none if it is no path. Slashes too many are overlooked.
fn names(target: &str) -> Option<Vec<Cow<'_, str>>> {
    let path = match target.strip_prefix("http://") {
        Some(absolute) => absolute.find('/').map_or("/", |slash| &absolute[slash..]),
        None => target,
    };
    let path = path.split('?').next().filter(|path| path.starts_with('/'))?;
    path.split('/').filter(|name| !name.is_empty()).map(decode).collect()
}

/// Decodes a name (RFC 3986, 2.1).
fn decode(name: &str) -> Option<Cow<'_, str>> {
    if !name.contains('%') {
        return Some(Cow::Borrowed(name));
    }
    let mut decoded = Vec::with_capacity(name.len());
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            hex(bytes.next()?)? << 4 | hex(bytes.next()?)?
        } else {
            byte
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| value.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::super::http::{OK, Status};
    use super::super::testing::told;
    use super::*;
    use crate::protocol::{MetadataOptions, Told};
    use proptest::prelude::*;

    struct Guest {
        facts: Facts,
        tokens: Tokens,
    }

    fn asks<'a>(method: &'a str, target: &'a str) -> Request<'a> {
        Request {
            method,
            target,
            token: None,
            token_seconds: None,
            forwarded: false,
        }
    }

    impl Guest {
        fn told(change: impl FnOnce(&mut Told)) -> Self {
            let mut story = told();
            change(&mut story);
            Self {
                facts: Facts::new(story).unwrap(),
                tokens: Tokens::new().unwrap(),
            }
        }

        fn with(options: impl FnOnce(&mut MetadataOptions)) -> Self {
            Self::told(|story| options(&mut story.metadata.options))
        }

        fn ask(&self, request: &Request<'_>, second: u64) -> Answer<'_> {
            answer(request, &self.facts, &self.tokens, Duration::from_secs(second))
        }

        fn get(&self, target: &str) -> (Status, String) {
            let answer = self.ask(&asks("GET", target), 0);
            (answer.status, String::from_utf8(answer.body.into_owned()).unwrap())
        }

        fn token(&self, seconds: &str) -> Answer<'_> {
            let request = Request {
                token_seconds: Some(seconds.as_bytes()),
                ..asks("PUT", "/latest/api/token")
            };
            self.ask(&request, 0)
        }
    }

    fn ok(text: &str) -> (Status, String) {
        (OK, text.to_owned())
    }

    #[test]
    fn values_and_listings_are_found_in_every_version_with_and_without_slash() {
        let guest = Guest::with(|_| ());
        assert_eq!(guest.get("/"), ok(&VERSIONS.join("\n")));
        for version in VERSIONS {
            let get = |path: &str| guest.get(&format!("/{version}{path}"));
            assert_eq!(get("/meta-data/ami-id"), ok("ami-1"));
            for slash in ["", "/"] {
                assert_eq!(get(slash), ok("dynamic\nmeta-data\nuser-data"));
                let meta_data = ok("ami-id\ninstance-id\nplacement/\npublic-keys/");
                assert_eq!(get(&format!("/meta-data{slash}")), meta_data);
                assert_eq!(get(&format!("/dynamic/instance-identity{slash}")), ok("document"));
                assert_eq!(get(&format!("/meta-data/public-keys{slash}")), ok("0=my key"));
                assert_eq!(get(&format!("/meta-data/public-keys/0{slash}")), ok("openssh-key"));
            }
            let key = ok("ssh-ed25519 AAAA my key");
            assert_eq!(get("/meta-data/public-keys/0/openssh-key"), key);
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let guest = Guest::with(|_| ());
        for target in [
            "/newest/meta-data/",
            "/latest/meta-data/kernel-id",
            "/latest/meta-data/ami-id/more",
            "/latest/api",
            "/latest/user-data/more",
            "/2009-04-04/api/token",
            "/meta-data/",
        ] {
            assert_eq!(guest.get(target).0, NOT_FOUND, "{target}");
        }
        let without = Guest::told(|story| story.metadata.user_data = None);
        assert_eq!(without.get("/latest/user-data").0, NOT_FOUND);
        assert_eq!(without.get("/latest/"), ok("dynamic\nmeta-data"));
    }

    #[test]
    fn user_data_is_answered_as_bytes() {
        let guest = Guest::told(|story| story.metadata.user_data = Some("/wAK".into()));
        let answer = guest.ask(&asks("GET", "/latest/user-data"), 0);
        assert_eq!((answer.status, answer.content_type), (OK, "application/octet-stream"));
        assert_eq!(*answer.body, [0xff, 0, b'\n']);
    }

    #[test]
    fn paths_are_decoded_name_by_name() {
        let tag = "meta-data/tags/instance/a key/with";
        let guest = Guest::told(|story| {
            story.metadata.leaves.insert(tag.into(), "value".into());
        });
        for target in [
            "/latest/meta-data/tags/instance/a%20key/with",
            "/latest/meta-data//tags/instance/%61%20key/with?x=/y",
            "http://169.254.169.254/latest/meta-data/tags/instance/a%20key/with",
        ] {
            assert_eq!(guest.get(target), ok("value"), "{target}");
        }
        assert_eq!(guest.get("/latest/meta-data/tags/instance/a%20key%2fwith").0, NOT_FOUND);
        for target in [
            "/latest/%",
            "/latest/%4",
            "/latest/%zz",
            "/latest/%+1",
            "/%ff",
            "*",
            "latest",
        ] {
            assert_eq!(guest.get(target).0, BAD_REQUEST, "{target}");
        }
    }

    #[test]
    fn a_token_is_made_for_a_life_within_bounds_and_limited_in_hops() {
        let guest = Guest::with(|options| options.hop_limit = 3);
        let made = guest.token("60");
        assert_eq!(
            (made.status, made.token_seconds, made.hop_limit),
            (OK, Some(60), Some(3))
        );
        assert_eq!(guest.token("21600").status, OK);
        for seconds in ["0", "21601", "-1", "+1", " 1", "", "99999999999", "x"] {
            assert_eq!(guest.token(seconds), Answer::only(BAD_REQUEST), "{seconds:?}");
        }
        assert_eq!(guest.ask(&asks("PUT", "/latest/api/token"), 0).status, BAD_REQUEST);
        let forwarded = Request {
            forwarded: true,
            token_seconds: Some(b"60"),
            ..asks("PUT", "/latest/api/token")
        };
        assert_eq!(guest.ask(&forwarded, 0).status, FORBIDDEN);
    }

    #[test]
    fn a_token_that_is_shown_must_be_good_and_one_must_be_shown_where_they_are_required() {
        for required in [false, true] {
            let guest = Guest::with(|options| options.tokens_required = required);
            let token = guest.token("60").body.into_owned();
            let show = |token, second| {
                let request = Request {
                    token,
                    ..asks("GET", "/latest/meta-data/ami-id")
                };
                let answer = guest.ask(&request, second);
                (answer.status, answer.token_seconds)
            };
            assert_eq!(show(Some(token.as_slice()), 59), (OK, Some(1)));
            assert_eq!(show(Some(token.as_slice()), 60), (UNAUTHORIZED, None));
            assert_eq!(show(Some(b"token"), 0), (UNAUTHORIZED, None));
            assert_eq!(show(Some(b""), 0), (UNAUTHORIZED, None));
            let without = if required { UNAUTHORIZED } else { OK };
            assert_eq!(show(None, 0), (without, None));
        }
    }

    #[test]
    fn other_methods_are_not_allowed() {
        let guest = Guest::with(|_| ());
        for (method, target, allow) in [
            ("PUT", "/latest/meta-data/", "GET, HEAD"),
            ("POST", "/", "GET, HEAD"),
            ("get", "/", "GET, HEAD"),
            ("GET", "/latest/api/token", "PUT"),
            ("DELETE", "/latest/api/token", "PUT"),
        ] {
            let answer = guest.ask(&asks(method, target), 0);
            assert_eq!((answer.status, answer.allow), (METHOD_NOT_ALLOWED, Some(allow)));
        }
    }

    #[test]
    fn an_endpoint_that_is_off_forbids_everything() {
        let guest = Guest::with(|options| options.endpoint = false);
        for target in ["/", "/latest/meta-data/ami-id", "*"] {
            assert_eq!(guest.get(target).0, FORBIDDEN);
        }
        assert_eq!(guest.token("60"), Answer::only(FORBIDDEN));
    }

    proptest! {
        #[test]
        fn any_target_is_answered(target in ".*", method in "GET|PUT|[A-Z]+") {
            let guest = Guest::with(|_| ());
            let answer = guest.ask(&asks(&method, &target), 0);
            prop_assert!((200..500).contains(&answer.status.0));
        }

        #[test]
        fn what_is_encoded_is_decoded_to_itself(name in "[^\u{0}]{1,20}") {
            let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decode(&encoded), Some(Cow::Borrowed(name.as_str())));
        }
    }
}
