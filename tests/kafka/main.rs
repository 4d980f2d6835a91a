//! The service on a real Apache Kafka, which these tests start themselves.

#[path = "../support/broker.rs"]
mod broker;

#[test]
fn start() {
    println!("{}", broker::broker().address);
}
