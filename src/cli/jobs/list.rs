//! `tidewatch jobs list`: a line a job. Read from Kafka, so it tells of all instances.

use super::Office;
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::jobs::{Status, status};
use crate::runtime::task::Placement;
use crate::time::EventTime;
use serde_json::json;

/// A job's line.
struct Line {
    id: String,
    state: &'static str,
    known: Option<(Placement, u16, Status)>,
    trouble: Option<String>,
}

pub(super) fn run(office: &mut Office, as_json: bool) -> anyhow::Result<()> {
    let stopped = office.agreed()?.wishes.clone();
    let mut lines = Vec::new();
    for (id, job) in office.jobs.clone() {
        let found = office
            .footprint(&job)
            .and_then(|footprint| Ok((status(&mut office.log, &footprint)?, footprint)));
        let is_stopped = stopped.contains_key(&id);
        lines.push(match found {
            Ok((status, footprint)) => Line {
                id,
                state: state(is_stopped, &status),
                known: Some((footprint.plan.placement, footprint.plan.shards, status)),
                trouble: None,
            },
            Err(error) => Line {
                id,
                state: if is_stopped {
                    "stopped"
                } else {
                    "not laid out"
                },
                known: None,
                trouble: Some(format!("{error:#}")),
            },
        });
    }
    match as_json {
        true => lines.iter().for_each(|line| println!("{}", line.json())),
        false => print(&lines),
    }
    Ok(())
}

fn state(is_stopped: bool, status: &Status) -> &'static str {
    match (is_stopped, status.members) {
        (true, 0) => "stopped",
        (true, _) => "stopping",
        (false, 0) => "not at work",
        (false, _) => "at work",
    }
}

impl Line {
    fn last_bucket(&self) -> Option<String> {
        let (_, _, status) = self.known.as_ref()?;
        Some(EventTime(status.final_until_ms()?).to_string())
    }

    fn json(&self) -> serde_json::Value {
        let mut line = json!({"job_id": self.id, "state": self.state});
        if let Some((placement, shards, status)) = &self.known {
            let positions = status.partitions.iter().map(|one| {
                json!({
                    "partition": one.at.to_string(), "stage": format!("{:?}", one.stage).to_lowercase(),
                    "next_offset": one.next_offset, "lag": one.lag, "current": one.is_current,
                })
            });
            line["placement"] = format!("{placement:?}").to_lowercase().into();
            line["shards"] = (*shards).into();
            line["members"] = status.members.into();
            line["input_lag"] = status.input_lag().into();
            line["last_bucket"] = self.last_bucket().into();
            line["partitions"] = positions.collect::<Vec<_>>().into();
        }
        if let Some(trouble) = &self.trouble {
            line["error"] = trouble.as_str().into();
        }
        line
    }
}

fn print(lines: &[Line]) {
    let width = lines
        .iter()
        .map(|line| line.id.len())
        .max()
        .unwrap_or(0)
        .max(3);
    println!(
        "{:width$}  {:12}  {:9}  {:>7}  {:>10}  last bucket",
        "job", "state", "placement", "members", "lag"
    );
    for line in lines {
        let Line { id, state, .. } = line;
        match &line.known {
            Some((placement, _, status)) => println!(
                "{id:width$}  {state:12}  {:9}  {:>7}  {:>10}  {}",
                format!("{placement:?}").to_lowercase(),
                status.members,
                status.input_lag(),
                line.last_bucket().unwrap_or_else(|| "none yet".to_owned())
            ),
            None => println!(
                "{id:width$}  {state:12}  {}",
                line.trouble.as_deref().unwrap_or_default()
            ),
        }
    }
    let now = EventTime(SystemClock.now_ms());
    println!("\nas of {now}; `--json` tells every partition");
}
