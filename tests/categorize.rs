//! Log messages to categories: planted templates are found, every definition matches every member, memory and ids hold under whatever comes.
//!
//! The logs are made here, from templates with fields of many kinds, so that the right answer is known; none of them is in the data that the quality bench reads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use regex::Regex;
use std::collections::BTreeMap;
use tidewatch::config::{Analyzer, CharFilter, TokenFilter, Tokenizer};
use tidewatch::engine::categorize::{
    Bounds, Categorizers, CategoryDefinition, SIBLINGS, Settings, Verdict, Word, grok_pattern,
};

const BOUNDS: Bounds = Bounds {
    categories: 20_000,
    bytes: 64 << 20,
};

fn settings() -> Settings {
    Settings {
        analyzer: Analyzer::default(),
        examples_max: 4,
        bounds: BOUNDS,
        stop_on_warn: false,
    }
}

fn id(categorizers: &mut Categorizers, message: &str) -> u32 {
    match categorizers.categorize(None, message) {
        Verdict::Category(id) => id,
        other => panic!("{other:?}: {message}"),
    }
}

/// The ids of messages that come one after another to a categorizer that knew nothing.
fn ids(messages: &[&str]) -> Vec<u32> {
    let mut categorizers = Categorizers::new(settings());
    messages
        .iter()
        .map(|message| id(&mut categorizers, message))
        .collect()
}

/// Templates of services that never were; `{kind}` is a field.
const TEMPLATES: [&str; 40] = [
    "Accepted connection from {ip}:{port}",
    "Closed connection from {ip}:{port} after {int} ms",
    "User {user} logged in from {host}",
    "User {user} logged out",
    "User {user} was denied access to {path}",
    "Request {uuid} completed in {float} ms with status {int}",
    "Request {uuid} failed after {int} attempts: timeout",
    "Cannot open file {path}: no such file or directory",
    "Cannot open file {path}: permission denied",
    "[{time}] worker-{int} started",
    "[{time}] worker-{int} stopped",
    "Flushed {int} records ({int} bytes) to {path} in {float} s",
    "Compaction of table {name} finished: {int} -> {int} segments",
    "Compaction of table {name} started",
    "replica {host} is now the leader of partition {int}",
    "replica {host} lost leadership of partition {int}",
    "Cache hit ratio is {float} %",
    "cache: evicted {int} entries, {int} left",
    "Mail from <{email}> to <{email}> queued as {hex}",
    "Mail from <{email}> rejected: blocked by policy",
    "GET {path} {int} {int} \"{agent}\"",
    "POST {path} {int} {int} \"{agent}\"",
    "session {hex} expired",
    "session {hex} renewed until {time}",
    "Loaded plugin {class} version {version}",
    "Unloaded plugin {class}",
    "disk /dev/sd{letter}{digit} is {int} % full",
    "disk /dev/sd{letter}{digit} failed self test",
    "link eth{digit} is up",
    "link eth{digit} is down",
    "Job {name} scheduled for {time}",
    "Job {name} canceled by {user}",
    "checksum mismatch in block {int} of {path}: expected {hex}, found {hex}",
    "retrying {uri} in {int} seconds",
    "garbage collection took {int} ms, freed {int} MB",
    "config: {key}={value} overrides default",
    "peer {ip} sent an unknown message of type {int}",
    "peer {ip} timed out",
    "Received signal {int}, shutting down",
    "Shutdown complete",
];

fn pick<'a>(draw: &mut ChaCha8Rng, of: &[&'a str]) -> &'a str {
    of[draw.next_u32() as usize % of.len()]
}

fn field(draw: &mut ChaCha8Rng, kind: &str) -> String {
    let n = draw.next_u32();
    let byte = |draw: &mut ChaCha8Rng| draw.next_u32() % 256;
    match kind {
        "ip" => format!("10.{}.{}.{}", byte(draw), byte(draw), byte(draw)),
        "port" => (1024 + n % 60_000).to_string(),
        "int" => (n % 10u32.pow(1 + draw.next_u32() % 7)).to_string(),
        "digit" => (n % 10).to_string(),
        "float" => format!("{}.{:02}", n % 500, byte(draw) % 100),
        "letter" => ((b'a' + (n % 8) as u8) as char).to_string(),
        "user" => pick(
            draw,
            &[
                "alice", "bob", "carla", "dmitri", "erika", "faisal", "gwen", "hiro", "u4711",
                "jdoe",
            ],
        )
        .into(),
        "host" => format!(
            "{}-{}.example.net",
            pick(draw, &["web", "db", "mx", "cache"]),
            n % 90
        ),
        "path" => format!(
            "/srv/{}/{}{}.dat",
            pick(draw, &["a", "data", "tmp"]),
            pick(draw, &["x", "part-", "f"]),
            n % 1000
        ),
        "uuid" => format!(
            "{n:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            n >> 16,
            n & 0xfff,
            n >> 20,
            draw.next_u64() & 0xffff_ffff_ffff
        ),
        "hex" => format!("{:016x}", draw.next_u64()),
        "time" => format!(
            "2031-0{}-1{}T0{}:{:02}:00Z",
            1 + n % 9,
            n % 10,
            byte(draw) % 10,
            byte(draw) % 60
        ),
        "email" => format!(
            "{}@{}.org",
            pick(draw, &["ann", "ben", "cy"]),
            pick(draw, &["abc", "mail", "x1"])
        ),
        "agent" => format!("Mozilla/{}.0", n % 9),
        "class" => format!(
            "org.example.{}.{}Plugin",
            pick(draw, &["io", "net", "ui"]),
            pick(draw, &["Fast", "Blue", "Odd"])
        ),
        "version" => format!("{}.{}.{}", n % 9, byte(draw) % 20, byte(draw) % 30),
        "name" => pick(
            draw,
            &[
                "orders_eu",
                "orders_us",
                "clicks.daily",
                "audit-trail",
                "q4_forecast",
            ],
        )
        .into(),
        "uri" => format!("https://api{}.example.net/v1/{}", n % 9, n % 1000),
        "key" => pick(draw, &["cache.size", "io.threads", "net.backlog"]).into(),
        "value" => (n % 5000).to_string(),
        other => panic!("no such field: {other}"),
    }
}

fn fill(draw: &mut ChaCha8Rng, template: &str) -> String {
    let (mut message, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        let (kind, after) = after.split_once('}').expect("fields are closed");
        message.push_str(before);
        message.push_str(&field(draw, kind));
        rest = after;
    }
    message + rest
}

/// (template, message), some templates often, some rarely.
fn planted(seed: u64, count: usize) -> Vec<(usize, String)> {
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    let mut one = || {
        let (a, b) = (draw.next_u32() as usize, draw.next_u32() as usize);
        let template = (a % TEMPLATES.len()).min(b % TEMPLATES.len());
        (template, fill(&mut draw, TEMPLATES[template]))
    };
    (0..count).map(|_| one()).collect()
}

#[test]
fn planted_templates_are_told_apart_and_kept_together() {
    for seed in 0..3 {
        let log = planted(seed, 4000);
        let mut categorizers = Categorizers::new(settings());
        let mut of_category: BTreeMap<u32, BTreeMap<usize, u32>> = BTreeMap::new();
        let mut of_template: BTreeMap<usize, BTreeMap<u32, u32>> = BTreeMap::new();
        for (template, message) in &log {
            let id = id(&mut categorizers, message);
            *of_category
                .entry(id)
                .or_default()
                .entry(*template)
                .or_default() += 1;
            *of_template
                .entry(*template)
                .or_default()
                .entry(id)
                .or_default() += 1;
        }
        for (id, templates) in &of_category {
            assert_eq!(
                templates.len(),
                1,
                "seed {seed}, category {id} mixes {templates:?}"
            );
        }
        let whole = of_template.values().filter(|ids| ids.len() == 1);
        assert!(
            whole.count() >= of_template.len() - 2,
            "seed {seed}: {of_template:?}"
        );
    }
}

#[test]
fn what_happened_is_told_apart_and_to_whom_is_not() {
    for (together, messages) in [
        (
            true,
            [
                "Failed password for cyrus from 10.0.0.1 port 22",
                "Failed password for bob from 10.9.9.9 port 99",
            ],
        ),
        (
            true,
            [
                "session opened for user news by (uid=0)",
                "session opened for user cyrus by (uid=0)",
            ],
        ),
        (
            true,
            [
                "state=ready id=5 took 3 ms in total",
                "state=gone id=7 took 9 ms in total",
            ],
        ),
        (
            false,
            [
                "connection to server opened by peer",
                "connection to server closed by peer",
            ],
        ),
        (false, ["the file was found", "the file was not found"]),
        (false, ["alpha started", "alpha stopped"]),
        (
            false,
            [
                "Verbindung zum Datenbankserver wurde hergestellt",
                "Verbindung zum Datenbankserver wurde getrennt",
            ],
        ),
        (
            true,
            [
                "Verbindung 17 zu db-3.example.net wurde getrennt",
                "Verbindung 9 zu db-7.example.net wurde getrennt",
            ],
        ),
        (
            false,
            [
                "соединение с сервером установлено",
                "соединение с сервером потеряно",
            ],
        ),
        (true, ["用户12345登录成功", "用户99登录成功"]),
        (false, ["用户12345登录成功", "用户12345登录失败"]),
        (
            true,
            [
                "Error\n\tat a.b.C(C.java:5)",
                "Error\n\tat x.y.Z(Z.java:77)",
            ],
        ),
        (true, ["------\nit failed 5", "=====\nit failed 77"]),
    ] {
        let ids = ids(&messages);
        assert_eq!(ids[0] == ids[1], together, "{messages:?}");
    }
}

#[test]
fn a_word_that_a_hundred_messages_share_is_fixed() {
    let mut categorizers = Categorizers::new(settings());
    for n in 0..150 {
        assert_eq!(
            id(
                &mut categorizers,
                &format!("task {n} sent to client WindowsUpdateAgent")
            ),
            1
        );
    }
    let other = id(&mut categorizers, "task 5 sent to client SPP");
    assert_ne!(other, 1);
    // Among few messages the same difference is a name.
    assert_eq!(
        ids(&[
            "task 5 sent to client WindowsUpdateAgent",
            "task 5 sent to client SPP"
        ]),
        [1, 1]
    );
}

#[test]
fn categories_that_differ_in_one_word_become_one_and_ids_stay() {
    let mut categorizers = Categorizers::new(settings());
    let names: Vec<String> = ('a'..='z')
        .map(|c| format!("{c}{c}d startup succeeded"))
        .collect();
    let given: Vec<u32> = names
        .iter()
        .map(|name| id(&mut categorizers, name))
        .collect();
    let merged = SIBLINGS as u32 - 1;
    let expected: Vec<u32> = (1..=merged)
        .chain(std::iter::repeat_n(1, names.len() - merged as usize))
        .collect();
    assert_eq!(given, expected, "the tenth shows that it is a variable");
    let definitions: Vec<CategoryDefinition> = categorizers.definitions().collect();
    assert_eq!(
        definitions[0].preferred_to_categories,
        (2..=merged).collect::<Vec<u32>>()
    );
    assert_eq!(definitions[0].terms, "startup succeeded");
    assert_eq!(
        definitions[1].terms, "bbd startup succeeded",
        "what it was stays on record"
    );
    assert_eq!(
        categorizers.totals().dead_category_count,
        u64::from(merged) - 1
    );
    assert_eq!(id(&mut categorizers, "bbd startup succeeded"), 1);
    assert_ne!(id(&mut categorizers, "bbd startup failed"), 1);
}

/// A line of anything: words, digits, punctuation, control characters, other scripts.
fn anything(draw: &mut ChaCha8Rng) -> String {
    const PIECES: [&str; 30] = [
        "error",
        "failed",
        "open",
        "bob",
        "x1",
        "cpu0",
        "\\\\srv\\x",
        "C:\\a\\b",
        "/a/b",
        "a/b",
        "http://x/y?z=1",
        "=",
        "'",
        "\"",
        ":",
        "..",
        "用户",
        "登录",
        "ผู้ใช้",
        "é",
        "ß",
        "\u{0}",
        "\u{1b}[0m",
        "\t",
        "\n",
        "#",
        "1.5",
        "0xff",
        "-",
        "\u{fffe}",
    ];
    let mut line = String::new();
    for _ in 0..draw.next_u32() % 14 {
        match draw.next_u32() % 4 {
            0 => line.push(char::from_u32(draw.next_u32() % 0x3000).unwrap_or('?')),
            1 => line.push(' '),
            _ => line.push_str(pick(draw, &PIECES)),
        }
        if draw.next_u32().is_multiple_of(2) {
            line.push(' ');
        }
    }
    line
}

fn analyzers() -> Vec<Analyzer> {
    let with = |tokenizer: Tokenizer| Analyzer {
        tokenizer,
        ..Analyzer::default()
    };
    let replaced = Analyzer {
        char_filters: vec![
            CharFilter::FirstNonBlankLine,
            CharFilter::PatternReplace {
                pattern: Regex::new(r"[0-9]+|bob").expect("a pattern"),
                replacement: "N".into(),
            },
        ],
        tokenizer: Tokenizer::Standard,
        token_filters: vec![TokenFilter::Lowercase, TokenFilter::Limit(6)],
    };
    let pattern = Regex::new("[ :]+").expect("a pattern");
    vec![
        Analyzer::default(),
        with(Tokenizer::MlClassic),
        with(Tokenizer::Whitespace),
        with(Tokenizer::Letter),
        with(Tokenizer::Keyword),
        with(Tokenizer::Pattern(pattern)),
        replaced,
    ]
}

#[test]
fn every_definition_matches_every_member() {
    for (at, analyzer) in analyzers().into_iter().enumerate() {
        let mut categorizers = Categorizers::new(Settings {
            analyzer,
            ..settings()
        });
        let mut draw = ChaCha8Rng::seed_from_u64(at as u64);
        let mut lines: Vec<String> = planted(9, 300)
            .into_iter()
            .map(|(_, message)| message)
            .collect();
        lines.extend((0..700).map(|_| anything(&mut draw)));
        let mut members: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        for line in &lines {
            members
                .entry(id(&mut categorizers, line))
                .or_default()
                .push(line);
        }
        for definition in categorizers.definitions() {
            let regex = Regex::new(&definition.regex).expect("it compiles");
            for member in members.remove(&definition.category_id).unwrap_or_default() {
                assert!(
                    regex.is_match(member),
                    "analyzer {at}: {:?} not by {}",
                    member,
                    definition.regex
                );
                assert!(member.chars().count() as u64 <= definition.max_matching_length);
            }
            assert!(definition.examples.len() <= 4);
            let _ = grok_pattern(&definition);
        }
        assert!(members.is_empty(), "every category has a definition");
    }
}

#[test]
fn a_restored_categorizer_goes_on_as_the_first_would_have() {
    let mut draw = ChaCha8Rng::seed_from_u64(5);
    let mut lines: Vec<String> = planted(4, 1500)
        .into_iter()
        .map(|(_, message)| message)
        .collect();
    lines.extend((0..500).map(|_| anything(&mut draw)));
    lines.sort_by_key(|line| line.len() % 7);
    let mut whole = Categorizers::new(settings());
    let mut parts = Categorizers::new(settings());
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(id(&mut whole, line), id(&mut parts, line), "line {at}");
        if at % 97 == 0 {
            assert_eq!(whole.news(Word::Next), parts.news(Word::Next), "line {at}");
            parts = Categorizers::resume(settings(), parts.state());
        }
    }
    assert_eq!(whole.state(), parts.state());
    assert_eq!(whole.bytes(), parts.bytes());
}

/// Messages of kinds that have most words in common, with names and numbers where some have them and others do not.
fn alike(draw: &mut ChaCha8Rng, count: usize) -> Vec<String> {
    const WORDS: [&str; 10] = [
        "opened", "closed", "file", "session", "cache", "user", "by", "for", "reason", "server",
    ];
    const NAMES: [&str; 8] = [
        "bob", "eve", "app.x", "eth0", "eth7", "17", "/var/log", "cache",
    ];
    let kinds: Vec<Vec<&str>> = (0..14)
        .map(|_| {
            let words = 3 + draw.next_u32() % 5;
            (0..words).map(|_| pick(draw, &WORDS)).collect()
        })
        .collect();
    let mut line = |_| {
        // Later kinds come rarely, so that some begin when others are mature.
        let most = 1 + draw.next_u32() as usize % kinds.len();
        let kind = &kinds[draw.next_u32() as usize % most];
        let mut line = Vec::new();
        for (at, word) in kind.iter().enumerate() {
            if at == 2 || draw.next_u32().is_multiple_of(9) {
                line.push(pick(draw, &NAMES));
            }
            if !draw.next_u32().is_multiple_of(40) {
                line.push(word);
            }
        }
        line.join(" ")
    };
    (0..count).map(&mut line).collect()
}

#[test]
fn what_is_remembered_never_shows() {
    for seed in 0..4 {
        let mut draw = ChaCha8Rng::seed_from_u64(seed);
        let lines = match seed {
            0 => planted(seed, 900)
                .into_iter()
                .map(|(_, line)| line)
                .collect(),
            _ => alike(&mut draw, 1500),
        };
        let mut remembers = Categorizers::new(settings());
        let mut forgets = Categorizers::new(settings());
        for (at, line) in lines.iter().enumerate() {
            assert_eq!(
                id(&mut remembers, line),
                id(&mut forgets, line),
                "seed {seed}, line {at}: {line}"
            );
            // What is resumed has nothing but its state.
            forgets = Categorizers::resume(settings(), forgets.state());
        }
        assert_eq!(remembers.state(), forgets.state());
    }
}

#[test]
fn memory_is_bounded_and_known_categories_go_on_in_a_flood() {
    const BYTES: u64 = 1 << 20;
    let mut categorizers = Categorizers::new(Settings {
        bounds: Bounds {
            categories: 1_000_000,
            bytes: BYTES,
        },
        ..settings()
    });
    assert_eq!(id(&mut categorizers, "known before the flood came"), 1);
    let mut draw = ChaCha8Rng::seed_from_u64(1);
    let letters = |draw: &mut ChaCha8Rng| -> String {
        (0..8)
            .map(|_| char::from(b'a' + (draw.next_u32() % 26) as u8))
            .collect()
    };
    let mut refused = 0;
    for _ in 0..30_000 {
        let words: Vec<String> = (0..5).map(|_| letters(&mut draw)).collect();
        refused += u64::from(categorizers.categorize(None, &words.join(" ")) == Verdict::NoRoom);
        assert!(categorizers.bytes() <= BYTES, "{}", categorizers.bytes());
    }
    assert!(refused > 20_000);
    assert_eq!(categorizers.totals().failed_category_count, refused);
    assert_eq!(id(&mut categorizers, "known before the flood came"), 1);
}

#[test]
fn whatever_comes_has_a_category() {
    let long = "word ".repeat(300_000);
    let digits = "1234567890 ".repeat(1000);
    let quotes = "'".repeat(5000);
    let joined = "a_".repeat(5000);
    let hostile = [
        "", " ", "\0\0", "12 34", "/", "\\", &long, &digits, &quotes, &joined, "\u{feff}", "::::",
        "a:/b", "é",
    ];
    let mut categorizers = Categorizers::new(settings());
    for message in hostile.iter().chain(&hostile) {
        id(&mut categorizers, message);
    }
    assert!(
        categorizers
            .definitions()
            .all(|one| one.regex.len() <= 10_100)
    );
}

#[test]
fn each_partition_has_its_own_categories_and_ids_are_unique() {
    let mut categorizers = Categorizers::new(settings());
    let mut of = |partition: &str, message: &str| categorizers.categorize(Some(partition), message);
    assert_eq!(of("a", "disk full"), Verdict::Category(1));
    assert_eq!(of("b", "disk full"), Verdict::Category(2));
    assert_eq!(of("a", "disk full"), Verdict::Category(1));
    assert_eq!(of("b", "disk failed"), Verdict::Category(3));
    let shown: Vec<_> = categorizers
        .definitions()
        .map(|one| (one.partition.unwrap().to_string(), one.category_id))
        .collect();
    assert_eq!(shown, [("a".into(), 1), ("b".into(), 2), ("b".into(), 3)]);
}

#[test]
fn a_partition_whose_categories_are_of_no_use_is_stopped_when_that_is_wanted() {
    let mut categorizers = Categorizers::new(Settings {
        stop_on_warn: true,
        ..settings()
    });
    for _ in 0..100 {
        assert!(matches!(
            categorizers.categorize(Some("dull"), "always the same"),
            Verdict::Category(_)
        ));
    }
    assert_eq!(
        categorizers.categorize(Some("dull"), "always the same"),
        Verdict::Stopped
    );
    assert!(matches!(
        categorizers.categorize(Some("other"), "always the same"),
        Verdict::Category(_)
    ));
    let news = categorizers.news(Word::Next);
    let dull = news
        .stats
        .iter()
        .find(|(partition, _)| partition.as_deref() == Some("dull"));
    let stats = dull.expect("it is news").1;
    assert_eq!(
        (stats.categorized_doc_count, stats.failed_category_count),
        (100, 1)
    );
    assert_eq!(stats.categorization_status.name(), "warn");
}

#[test]
fn a_mature_category_is_found_among_many_that_share_its_common_words() {
    let mut categorizers = Categorizers::new(settings());
    let mut draw = ChaCha8Rng::seed_from_u64(3);
    let letters = |draw: &mut ChaCha8Rng, n: usize| -> String {
        (0..n)
            .map(|_| char::from(b'a' + (draw.next_u32() % 26) as u8))
            .collect()
    };
    let message = |own: &str, name: &str| {
        format!("{own}: cache {own} received by user {name} see there for the reason")
    };
    for _ in 0..600 {
        let own = letters(&mut draw, 9);
        id(&mut categorizers, &message(&own, "x"));
    }
    let first = id(&mut categorizers, &message("ourservice", "bob"));
    for _ in 0..200 {
        let name = letters(&mut draw, 6);
        assert_eq!(id(&mut categorizers, &message("ourservice", &name)), first);
    }
}
