//! The table of rights in docs/security.md is enough, and nothing in it is too much: with any one taken away the service says which.

use crate::client::{produce_on, topic_on};
use crate::instance::{Deployment, PATIENCE};
use crate::secured::{PLAIN_PASSWORD, rights, secured, write};
use crate::service::reference;
use crate::world::{Kind, events, job, sentinel};
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
