//! Three nodes of a real Apache Kafka for the tests of broker faults: killed, started again, cut off, full.
//!
//! Everything is kept three times and written twice at the least, so that any one node may be missing. Nodes keep their ports and data over a
//! restart; like the single broker they die with the test process. A node that is stopped by SIGSTOP is what a partition of the network looks like to the
//! others: connections stand, and nothing answers.

use crate::broker::{
    Broker, CLUSTER_ID, LOGGING, checkpoint, free_ports, java, spawn_from_lasting_thread, write,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::time::{Duration, Instant};

const NODES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);

/// What the nodes are told beside the usual, for clients whose sessions end soon under both protocols of groups.
const SETTINGS: &str = "\
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
process.roles=broker,controller
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=2000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=300
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
log.cleaner.enable=false
num.network.threads=2
num.io.threads=2
";

/// The nodes, and where they are reached.
pub struct Cluster {
    /// All three addresses.
    pub broker: Broker,
    nodes: Vec<Node>,
    installed: PathBuf,
}

struct Node {
    run: PathBuf,
    process: Mutex<Option<Child>>,
}

/// Who does something to nodes has the cluster alone; who does not shares it.
static PEACE: RwLock<()> = RwLock::new(());

/// The cluster of this test binary, for a test that does something to its nodes: those come one at a time, and nobody else is there meanwhile.
pub fn cluster() -> (&'static Cluster, RwLockWriteGuard<'static, ()>) {
    let turn = PEACE.write().unwrap_or_else(PoisonError::into_inner);
    (mended(), turn)
}

/// The same for tests that leave its nodes alone: any number of them at once.
pub fn cluster_in_peace() -> (&'static Cluster, RwLockReadGuard<'static, ()>) {
    let turn = PEACE.read().unwrap_or_else(PoisonError::into_inner);
    (mended(), turn)
}

/// Started at the first call, and whole, whatever a test before has left.
fn mended() -> &'static Cluster {
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    static MENDING: Mutex<()> = Mutex::new(());
    let _turn = MENDING.lock().unwrap_or_else(PoisonError::into_inner);
    match CLUSTER.get_or_init(start) {
        Ok(cluster) => {
            cluster.mend();
            cluster
        }
        Err(reason) => panic!("no Apache Kafka of three nodes to test against: {reason}"),
    }
}

fn start() -> Result<Cluster, String> {
    let (home, installed, checkpoint) = checkpoint()?;
    let mut ports = Vec::new();
    // All at once, so that no two are the same.
    let mut held = Vec::new();
    for _ in 0..NODES {
        let (pair, listeners) = free_ports().map_err(|error| format!("no free port: {error}"))?;
        ports.push(pair);
        held.push(listeners);
    }
    drop(held);
    let voters: Vec<String> = ports
        .iter()
        .enumerate()
        .map(|(at, (_, controller))| format!("{}@127.0.0.1:{controller}", at + 1))
        .collect();
    let mut nodes = Vec::new();
    for (at, (client, controller)) in ports.iter().enumerate() {
        let id = at + 1;
        let run = home.join(format!("run-{}-node{id}", std::process::id()));
        let _ = fs::remove_dir_all(&run);
        let data = run.join("data");
        fs::create_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        fs::copy(&checkpoint, data.join("bootstrap.checkpoint"))
            .map_err(|error| error.to_string())?;
        write(
            &data.join("meta.properties"),
            &format!("version=1\ncluster.id={CLUSTER_ID}\nnode.id={id}\n"),
        )?;
        write(
            &run.join("server.properties"),
            &format!(
                "node.id={id}\nlisteners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{client}\ncontroller.quorum.voters={}\nlog.dirs={}\n{SETTINGS}",
                voters.join(","),
                data.display()
            ),
        )?;
        write(&run.join("log4j2.properties"), LOGGING)?;
        nodes.push(Node {
            run,
            process: Mutex::new(None),
        });
    }
    let addresses: Vec<String> = ports
        .iter()
        .map(|(client, _)| format!("127.0.0.1:{client}"))
        .collect();
    let cluster = Cluster {
        broker: Broker {
            address: addresses.join(","),
        },
        nodes,
        installed,
    };
    (1..=NODES).try_for_each(|id| cluster.launch(id))?;
    cluster.await_nodes(NODES);
    Ok(cluster)
}

impl Cluster {
    fn node(&self, id: usize) -> MutexGuard<'_, Option<Child>> {
        let process = &self.nodes[id - 1].process;
        process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn launch(&self, id: usize) -> Result<(), String> {
        let run = &self.nodes[id - 1].run;
        let output = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(run.join("broker.log"))
            .map_err(|error| error.to_string())?;
        let logging = format!(
            "-Dlog4j2.configurationFile={}",
            run.join("log4j2.properties").display()
        );
        let options = [
            "-Xmx192m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            &logging,
        ];
        let mut command = java(&self.installed, &options);
        command
            .arg("kafka.Kafka")
            .arg(run.join("server.properties"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(|error| error.to_string())?)
            .stderr(output)
            .process_group(0);
        let child = spawn_from_lasting_thread(command).map_err(|error| format!("java: {error}"))?;
        *self.node(id) = Some(child);
        Ok(())
    }

    /// How many nodes there are; they are called 1 and so on.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// SIGKILL.
    pub fn kill(&self, id: usize) {
        if let Some(mut child) = self.node(id).take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
    }

    /// Starts a node again that was killed.
    pub fn restart(&self, id: usize) {
        self.launch(id).expect("it starts again");
    }

    /// SIGSTOP: nobody reaches it, and nobody is told so.
    pub fn cut_off(&self, id: usize) {
        self.signal(id, "-STOP");
    }

    /// SIGCONT.
    pub fn rejoin(&self, id: usize) {
        self.signal(id, "-CONT");
    }

    fn signal(&self, id: usize, signal: &str) {
        if let Some(child) = &*self.node(id) {
            let pid = child.id().to_string();
            let done = Command::new("kill").args([signal, &pid]).status();
            assert!(done.expect("kill").success());
        }
    }

    /// All nodes as they should be, whatever the test before did to them.
    pub fn mend(&self) {
        for id in 1..=NODES {
            let is_there = self.node(id).is_some();
            match is_there {
                true => self.rejoin(id),
                false => self.restart(id),
            }
        }
        self.await_nodes(NODES);
    }

    /// Waits until so many nodes are in the metadata, and every partition has as many replicas in sync.
    pub fn await_nodes(&self, nodes: usize) {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.broker.address)
            .set("log_level", "0")
            .set("reconnect.backoff.max.ms", "200")
            .create()
            .expect("a client");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metadata = client.fetch_metadata(None, Duration::from_secs(2));
            let is_well = metadata.is_ok_and(|metadata| {
                let parts = metadata
                    .topics()
                    .iter()
                    .flat_map(|topic| topic.partitions());
                metadata.brokers().len() >= nodes
                    && parts
                        .into_iter()
                        .all(|part| part.leader() >= 0 && part.isr().len() >= nodes)
            });
            if is_well {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the cluster did not mend; its logs are {}",
                self.nodes[0].run.display()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The node that leads a partition.
    pub fn leader(&self, topic: &str, partition: i32) -> usize {
        let leader = self.leader_of(topic, partition);
        leader.expect("it has a leader")
    }

    /// The node that leads a partition, if any does.
    pub fn leader_of(&self, topic: &str, partition: i32) -> Option<usize> {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.broker.address)
            .create()
            .expect("a client");
        let metadata = client
            .fetch_metadata(Some(topic), Duration::from_secs(10))
            .expect("metadata");
        let parts = metadata.topics()[0].partitions();
        let part = parts.iter().find(|part| part.id() == partition);
        usize::try_from(part.expect("it exists").leader()).ok()
    }

    /// The node that coordinates a group: the leader of its partition among the positions (3 of them).
    pub fn coordinator(&self, group: &str) -> usize {
        self.leader("__consumer_offsets", place(group))
    }

    /// The node that coordinates a producer's transactions, likewise.
    pub fn transaction_coordinator(&self, transactional_id: &str) -> usize {
        self.leader("__transaction_state", place(transactional_id))
    }
}

/// Java's hash of a text, which coordinators are found by, over three partitions.
fn place(text: &str) -> i32 {
    let hash = text.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    (hash & i32::MAX) % 3
}
