//! What a field's name tells that its values do not: who did it, which of two is for people, what is only software that was used.
//!
//! Names are taken apart into words at `.`, `_`, `-` and where a capital begins: `userIdentity.userName` is user, identity, user, name.

use super::stats::Field;
use std::net::IpAddr;

/// Who acts.
const ACTORS: [&str; 6] = [
    "user",
    "username",
    "account",
    "principal",
    "actor",
    "identity",
];
/// Where it comes from, if the values are addresses.
const ORIGINS: [&str; 9] = [
    "src", "srcaddr", "source", "client", "clientip", "remote", "orig", "peer", "c",
];
/// What says something about an actor and not who it is.
const BESIDES: [&str; 9] = [
    "agent", "type", "kind", "port", "version", "domain", "role", "group", "groups",
];
/// What was used: it does not fail by itself.
const SOFTWARE: [&str; 7] = [
    "agent",
    "useragent",
    "referer",
    "referrer",
    "browser",
    "version",
    "os",
];

/// What may be added up, as the end of a word.
const AMOUNTS: [&str; 3] = ["bytes", "octets", "amount"];
/// A number of these is no amount of one event.
const NO_AMOUNTS: [&str; 16] = [
    "total",
    "avg",
    "mean",
    "max",
    "min",
    "rate",
    "per",
    "limit",
    "free",
    "used",
    "available",
    "pct",
    "percent",
    "memory",
    "mem",
    "heap",
];
/// What goes out.
const SENT: [&str; 10] = [
    "sent", "out", "egress", "upload", "uploaded", "orig", "source", "src", "tx", "cs",
];
const MACHINES: [&str; 5] = ["host", "hostname", "computer", "workstation", "device"];

/// The words of a name, small.
fn words(path: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let mut before = '.';
    for c in path.chars() {
        let begins = c.is_ascii_uppercase() && before.is_ascii_lowercase();
        if !c.is_ascii_alphanumeric() || begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphanumeric()) {
            word.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn any_of(words: &[String], known: &[&str]) -> bool {
    words.iter().any(|word| known.contains(&word.as_str()))
}

/// Whether a field says who acted.
pub(super) fn is_actor(field: &Field) -> bool {
    let words = words(&field.path);
    any_of(&words, &ACTORS) && !any_of(&words, &BESIDES)
}

/// Whether a number is an amount that may be added up: bytes, not bytes a second.
pub(super) fn is_amount(path: &str) -> bool {
    let words = words(path);
    let is_one = |word: &String| AMOUNTS.iter().any(|amount| word.ends_with(amount));
    words.iter().any(is_one) && !any_of(&words, &NO_AMOUNTS)
}

/// Whether an amount is of what somebody sends, rather than receives.
pub(super) fn is_sent(path: &str) -> bool {
    any_of(&words(path), &SENT)
}

/// Whether a field says on which machine something happened.
pub(super) fn is_machine(field: &Field) -> bool {
    let words = words(&field.path);
    any_of(&words, &MACHINES) && !any_of(&words, &BESIDES)
}

/// Whether a field says from which address something came.
pub(super) fn is_origin(field: &Field) -> bool {
    let is_address = |text: &String| text.parse::<IpAddr>().is_ok();
    let words = words(&field.path);
    let named = any_of(&words, &ORIGINS) || words.iter().any(|word| word.starts_with("source"));
    named && !field.examples.is_empty() && field.examples.iter().all(is_address)
}

/// Whether a field says which program was used, or its version.
pub(super) fn is_software(path: &str) -> bool {
    any_of(&words(path), &SOFTWARE)
}

/// Of fields that say the same the one with the least is taken: a name before an id, what is watched before the watcher.
pub(super) fn obscurity(path: &str) -> u32 {
    const IDS: [&str; 6] = ["id", "uid", "uuid", "arn", "ephemeral", "hash"];
    let words = words(path);
    let is_named = words.iter().any(|word| word.ends_with("name"));
    let by_watcher = any_of(&words, &["agent", "observer", "beat"]);
    2 * u32::from(any_of(&words, &IDS)) + 2 * u32::from(by_watcher) + u32::from(!is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_however_they_are_joined() {
        assert_eq!(
            words("userIdentity.userName"),
            ["user", "identity", "user", "name"]
        );
        assert_eq!(words("id.orig_h"), ["id", "orig", "h"]);
        assert_eq!(words("sourceIPAddress"), ["source", "ipaddress"]);
        assert!(is_software("http_user_agent") && is_software("userAgent"));
        assert!(!is_software("user.name"));
        assert!(is_amount("http.response.body.bytes") && is_amount("sentBytes"));
        assert!(is_amount("OUT_BYTES") && is_amount("amount") && !is_amount("bytes_per_second"));
        assert!(!is_amount("memory_bytes") && !is_amount("sent_bytes_total") && !is_amount("size"));
        assert!(is_sent("source.bytes") && is_sent("bytesOut") && !is_sent("resp_bytes"));
        assert!(obscurity("userIdentity.userName") < obscurity("userIdentity.principalId"));
        assert!(obscurity("host.name") < obscurity("agent.name"));
        assert!(obscurity("host.name") < obscurity("host.id"));
    }
}
