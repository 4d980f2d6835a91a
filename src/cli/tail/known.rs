//! Which jobs a service has, as far as can be told from anywhere: by its job files, where they are at hand, and by the traces that jobs leave
//! on the brokers, their groups and their lives in the control topic.

use crate::cli::jobs::jobs_of;
use crate::config::nearest;
use crate::config::service::Service as Configuration;
use crate::runtime::kafka::{Begin, Follower};
use crate::runtime::service::group_of;
use crate::runtime::supervisor::control::job_of;
use crate::runtime::task::TopicNames;
use std::collections::BTreeSet;
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(100);

/// An error that says what would have been right, if one of `asked` is no job of the service.
pub(super) fn ensure_known(configuration: &Configuration, asked: &[String]) -> anyhow::Result<()> {
    let mut known: BTreeSet<String> = jobs_of(configuration).into_keys().collect();
    if asked.iter().all(|job| known.contains(job)) {
        return Ok(());
    }
    known.extend(on_brokers(configuration)?);
    match asked.iter().find(|job| !known.contains(*job)) {
        None => Ok(()),
        Some(unknown) => anyhow::bail!("{}", no_such_job(unknown, &known)),
    }
}

/// The sentence.
pub(in crate::cli) fn no_such_job(unknown: &str, known: &BTreeSet<String>) -> String {
    let meant = nearest(unknown, known.iter().map(String::as_str));
    let meant = meant.map_or(String::new(), |meant| {
        format!("; did you mean \"{meant}\"?")
    });
    let all: Vec<&str> = known.iter().map(String::as_str).collect();
    let all = match all.is_empty() {
        true => "there are none yet".to_owned(),
        false => format!("there are: {}", all.join(", ")),
    };
    format!("no job \"{unknown}\" in this service{meant} ({all})")
}

fn on_brokers(configuration: &Configuration) -> anyhow::Result<BTreeSet<String>> {
    let mut follower = Follower::open(&configuration.kafka)?;
    let mut known = BTreeSet::new();
    let beginning = group_of(&configuration.kafka.group_id, "");
    let groups = follower.groups()?;
    let groups = groups
        .iter()
        .filter_map(|group| group.strip_prefix(&beginning));
    known.extend(groups.map(str::to_owned));
    let control = TopicNames::new(&configuration.topics.prefix).control();
    if follower.follow(&control, Begin::Oldest)?.is_some() {
        while !follower.is_at_end() {
            follower.poll(WAIT, &mut |_, message| {
                let key = message.key.and_then(|key| std::str::from_utf8(key).ok());
                if let (Some(key), Some(_)) = (key, message.payload) {
                    known.insert(job_of(key).to_owned());
                }
            })?;
            follower.ensure_answered()?;
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_is_not_there_is_answered_with_the_nearest_that_is() {
        let known: BTreeSet<String> = ["web", "shop"].map(str::to_owned).into();
        assert_eq!(
            no_such_job("wbe", &known),
            "no job \"wbe\" in this service; did you mean \"web\"? (there are: shop, web)"
        );
        assert_eq!(
            no_such_job("web", &BTreeSet::new()),
            "no job \"web\" in this service (there are none yet)"
        );
    }
}
