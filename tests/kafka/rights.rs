//! The tables of rights in docs/security.md are enough, and nothing in them is too much: with any one taken away the service, or the tool, says which.

use crate::client::{alter_on, produce_on, topic_on};
use crate::instance::{Deployment, PATIENCE};
use crate::secured::{PLAIN_PASSWORD, rights, rights_of_tools, secured, write};
use crate::service::reference;
use crate::world::{Kind, events, job, sentinel};
use std::process::Command;
use std::time::Instant;
use tempfile::TempDir;

const BUCKETS: i64 = 60;

/// A service on an input of its own, that logs in as a user who has no right yet. Staged: judges and rollup read internal topics.
fn deployment(user: &str, input: &str, directory: &TempDir) -> Deployment {
    let secured = secured();
    write(directory.path(), "password", PLAIN_PASSWORD);
    let kafka = format!(
        "  secret_files:\n    sasl.password: {}\n  properties:\n    bootstrap.servers: {}\n    security.protocol: sasl_ssl\n    ssl.ca.location: {}\n    \
         sasl.mechanism: PLAIN\n    sasl.username: {user}",
        directory.path().join("password").display(),
        secured.sasl_ssl,
        secured.ca_file().display()
    );
    Deployment::on(
        &secured.broker,
        &kafka,
        &[job(Kind::Whole, input, "")],
        "timing:\n  snapshot_interval: 300ms",
    )
}

fn publish(input: &str) {
    let texts = events(21, BUCKETS).into_iter().map(|message| message.text);
    let spread = texts.enumerate().map(|(at, text)| ((at % 2) as i32, text));
    let ends = (0..2).map(|partition| (partition, sentinel(BUCKETS)));
    produce_on(&secured().broker, input, spread.chain(ends));
}

#[test]
fn the_table_of_rights_is_enough_also_for_a_second_life_from_snapshots() {
    let directory = TempDir::new().expect("a directory");
    let input = topic_on(&secured().broker, "least", 2);
    let deployment = deployment("least", &input, &directory);
    for right in rights(&input, &deployment.prefix) {
        secured().grant("least", &right);
    }
    let first = deployment.start("a");
    first.await_ready();
    assert_eq!(first.stop(), Some(0), "{}", deployment.logs());
    publish(&input);
    let second = deployment.start("a");
    let wanted = reference(&[job(Kind::Whole, &input, "")], BUCKETS, 21);
    deployment.await_results(&wanted);
    assert_eq!(second.stop(), Some(0), "{}", deployment.logs());
    deployment.assert_results(&wanted, "with the least rights");
    let log = deployment.whole_log("a");
    assert!(
        !log.contains("authorization failed"),
        "{}",
        deployment.logs()
    );
}

#[test]
fn with_any_right_taken_away_the_service_names_the_resource_and_the_operation() {
    let input = topic_on(&secured().broker, "denied", 2);
    publish(&input);
    // In the order of the table. PREFIX is the deployment's.
    let sentences = [
        format!("not allowed: Read on topic \"{input}\""),
        "not allowed: Read on topic \"PREFIX.".to_string(),
        "not allowed: Write on topic \"PREFIX.".to_string(),
        "not allowed: Create on topic \"PREFIX.".to_string(),
        "not allowed: Read on group \"PREFIX.whole\"".to_string(),
        "not allowed: Write on transactional id \"PREFIX.whole-a\"".to_string(),
    ];
    let mut running = Vec::new();
    for (without, sentence) in sentences.iter().enumerate() {
        let user = format!("no{without}");
        let directory = TempDir::new().expect("a directory");
        let deployment = deployment(&user, &input, &directory);
        let all = rights(&input, &deployment.prefix);
        assert_eq!(all.len(), sentences.len(), "a sentence for each right");
        for (_, right) in all.iter().enumerate().filter(|(at, _)| *at != without) {
            secured().grant(&user, right);
        }
        let instance = deployment.start("a");
        running.push((
            sentence.replace("PREFIX", &deployment.prefix),
            deployment,
            instance,
            directory,
        ));
    }
    let mut evidence = Vec::new();
    for (sentence, deployment, instance, _directory) in running {
        let line = deployment.await_log("a", &sentence, Instant::now() + PATIENCE / 3);
        evidence.push(line);
        instance.kill();
    }
    println!("{}", evidence.join("\n"));
}

/// What the tool said, and whether it did as asked.
fn tool(deployment: &Deployment, args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
        .args(args)
        .arg("--config")
        .arg(deployment.path("a.yaml"))
        .output()
        .expect("the binary starts");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).replace("\\\"", "\"");
    (output.status.success(), told)
}

#[test]
fn the_tools_have_enough_with_the_second_table_and_name_what_is_missing_without() {
    let directory = TempDir::new().expect("a directory");
    let input = topic_on(&secured().broker, "tools", 2);
    let deployment = deployment("tools", &input, &directory);
    for right in rights(&input, &deployment.prefix) {
        secured().grant("tools", &right);
    }
    publish(&input);
    let instance = deployment.start("a");
    deployment.await_results(&reference(&[job(Kind::Whole, &input, "")], BUCKETS, 21));
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    let record = format!("{}.results.record", deployment.prefix);
    let reset = ["jobs", "reset", "whole"];
    let plan = ["topics", "--plan"];
    let sentences = [
        (&reset[..], "not allowed: Delete on topic \"PREFIX."),
        (&reset[..], "not allowed: Delete on group \"PREFIX.whole\""),
        (&plan[..], "not allowed: DescribeConfigs on topic \"PREFIX."),
    ];
    let others = rights_of_tools(&deployment.prefix);
    for ((args, sentence), right) in sentences.into_iter().zip(&others) {
        let sentence = sentence.replace("PREFIX", &deployment.prefix);
        let (done, told) = tool(&deployment, args);
        assert!(!done && told.contains(&sentence), "{sentence}\n{told}");
        secured().grant("tools", right);
        await_tool(&deployment, args, |told| !told.contains(&sentence));
    }
    let prefix = &deployment.prefix;
    let setting = ("cleanup.policy", "delete");
    alter_on(&secured().broker, &record, &[setting]);
    await_tool(&deployment, &plan, |told| told.contains("change"));
    let apply = ["topics", "--apply"];
    let (done, told) = tool(&deployment, &apply);
    let sentence = format!("not allowed: AlterConfigs on topic \"{prefix}.");
    assert!(!done && told.contains(&sentence), "{sentence}\n{told}");
    secured().grant("tools", &others[3]);
    await_tool(&deployment, &apply, |told| told.contains("done"));
}

#[test]
fn who_may_only_read_may_look_and_who_may_not_is_told_what_is_missing() {
    let directory = TempDir::new().expect("a directory");
    let input = topic_on(&secured().broker, "looked-at", 2);
    let deployment = deployment("shown", &input, &directory);
    for right in rights(&input, &deployment.prefix) {
        secured().grant("shown", &right);
    }
    publish(&input);
    let instance = deployment.start("a");
    deployment.await_results(&reference(&[job(Kind::Whole, &input, "")], BUCKETS, 21));
    assert_eq!(instance.stop(), Some(0), "{}", deployment.logs());
    let look = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tidewatch"))
            .args(args)
            .arg("--config")
            .arg(deployment.path("a.yaml"))
            .env("TIDEWATCH_KAFKA_PROPERTIES_SASL_USERNAME", "viewer")
            .output()
            .expect("the binary starts");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        (output.status.success(), told)
    };
    let tail = ["tail", "whole", "--no-follow", "--kinds", "bucket"];
    let snapshots = ["snapshots", "list"];
    let (done, told) = look(&tail);
    let missing = format!(
        "not allowed: Read on topic \"{}.results.bucket\"",
        deployment.prefix
    );
    assert!(!done && told.contains(&missing), "{told}");
    let (done, told) = look(&snapshots);
    let missing = format!(
        "not allowed: Read on topic \"{}.snapshots\"",
        deployment.prefix
    );
    assert!(!done && told.contains(&missing), "{told}");
    // Read on topics of the prefix: the second of the first table.
    secured().grant("viewer", &rights(&input, &deployment.prefix)[1]);
    let deadline = Instant::now() + PATIENCE;
    for args in [&tail[..], &snapshots[..]] {
        loop {
            let (done, told) = look(args);
            if done && told.contains("whole") {
                break;
            }
            assert!(Instant::now() < deadline, "{args:?}: {told}");
        }
    }
}

/// Rights and settings are known to a broker a moment after they are given.
fn await_tool(deployment: &Deployment, args: &[&str], is_so: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (done, told) = tool(deployment, args);
        if done && is_so(&told) {
            return;
        }
        // What fails for want of the next right in the table is so, too.
        if !done && is_so(&told) && told.contains("not allowed") {
            return;
        }
        assert!(Instant::now() < deadline, "{args:?}: {told}");
    }
}
