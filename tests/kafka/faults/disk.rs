//! The disk that snapshots are kept on is full: results go on, and so do snapshots when there is room again.

use super::{Trial, of, seed};
use crate::broker::broker;
use crate::instance::Deployment;
use crate::service::await_metric;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A disk that can be full.
enum Disk<'a> {
    /// So small that no snapshot fits.
    Small(&'a Path),
    /// Where mounting is not allowed: a file stands where the directory should be.
    Blocked(&'a Path),
}

impl Disk<'_> {
    fn full(path: &Path) -> Disk<'_> {
        fs::create_dir_all(path).expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4k,nr_inodes=1k", "tmpfs"])
            .arg(path)
            .output();
        if mounted.is_ok_and(|done| done.status.success()) {
            return Disk::Small(path);
        }
        fs::remove_dir(path).expect("it is empty");
        fs::write(path, "in the way").expect("a file");
        Disk::Blocked(path)
    }

    fn name(&self) -> &'static str {
        match self {
            Disk::Small(_) => "a tmpfs of 4 KiB",
            Disk::Blocked(_) => "a file in the directory's place (no mount here)",
        }
    }

    fn enlarge(&self) {
        match self {
            Disk::Small(path) => {
                let done = Command::new("mount")
                    .args(["-o", "remount,size=64m"])
                    .arg(path)
                    .status();
                assert!(done.expect("mount").success());
            }
            Disk::Blocked(path) => fs::remove_file(path).expect("the file goes"),
        }
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        if let Disk::Small(path) = self {
            let _ = Command::new("umount").arg("-l").arg(path).status();
        }
    }
}

#[test]
fn a_full_disk_costs_snapshots_and_no_result() {
    let name = "disk-full";
    let seed = seed(name);
    let trial = Trial::new(name, broker(), of(40, 200), seed);
    let path = trial.deployment.path("state");
    let trial = trial.with_deployment(|deployment: Deployment| {
        let settings = format!(
            "timing:\n  commit_interval: 50ms\n  snapshot_interval: 500ms\nsnapshots:\n  store: directory\n  path: {}",
            path.display()
        );
        deployment.with_settings(&settings)
    });
    // The store makes its directory when it opens.
    fs::create_dir_all(&path).expect("a directory");
    let instance = trial.deployment.start("a");
    instance.await_ready();
    fs::remove_dir_all(&path).expect("the directory goes");
    let disk = Disk::full(&path);
    let feed = trial.feed(Duration::from_secs(of(5, 60)));
    let outcome = |outcome: &str| {
        format!("tidewatch_snapshots_total{{job_id=\"per-host\",outcome=\"{outcome}\"}}")
    };
    await_metric(&instance, &outcome("failed"), |count| count > 0.0);
    let line = super::await_line(&trial.deployment, "a", "snapshot not stored");
    assert!(line.contains("ERROR"), "{line}");
    disk.enlarge();
    await_metric(&instance, &outcome("stored"), |count| count > 0.0);
    instance.kill();
    let instance = trial.deployment.start("a");
    feed.join().expect("all is written");
    trial.assert_right(&format!("a full disk, seed {seed}"));
    assert_eq!(instance.stop(), Some(0), "{}", trial.deployment.logs());
    println!("chaos: {name}: {}; results equal detect", disk.name());
}
