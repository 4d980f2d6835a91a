//! A real Apache Kafka for tests: one node in KRaft mode, started by the first test that asks and shared by the whole test binary.
//! [`start_beside`] starts another, for tests that need a broker of their own kind.
//!
//! Jars come from Maven (`tests/kafka/pom.xml`) into `target/kafka/VERSION/jars`, once. The node gets free ports, a data directory
//! of its own and a small heap; it leads its own process group and dies with the test process, however that ends, because
//! the kernel sends it SIGKILL when the thread that started it goes. Its log stays in `target/kafka/run-PID/broker.log` until a later
//! run sweeps it. A test that cannot get its broker fails, and says what to do.

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The version in `tests/kafka/pom.xml`.
const VERSION: &str = "4.3.1";
/// Any 22 characters of base64url.
pub const CLUSTER_ID: &str = "tidewatchTestsCluster0";
/// From the start of the JVM to its first metadata answer; two to eight seconds even on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(90);
/// Another process may take a port between our look and the broker's bind.
const START_ATTEMPTS: usize = 3;

/// A running broker.
pub struct Broker {
    /// `host:port`, for `bootstrap.servers`.
    pub address: String,
}

/// The broker of this test binary; started at the first call.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Result<Broker, String>> = OnceLock::new();
    match BROKER.get_or_init(|| start("", |_| String::new())) {
        Ok(broker) => broker,
        Err(reason) => panic!("no Apache Kafka to test against: {reason}"),
    }
}

/// Another broker, for the rest of the test binary's life: `properties` are appended to the usual ones (a later one wins), once for each attempt;
/// they are told the usual `listeners`, to put more beside them.
#[allow(dead_code, reason = "not every test binary wants a second broker")]
pub fn start_beside(name: &str, properties: impl Fn(&str) -> String) -> Broker {
    match start(&format!("-{name}"), properties) {
        Ok(broker) => broker,
        Err(reason) => panic!("no Apache Kafka to test against: {reason}"),
    }
}

// Two first tests at once would fetch the same jars.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Where Kafka is: the home of all runs, what is installed, and the checkpoint that a data directory begins with.
#[allow(dead_code, reason = "for clusters, which not every test binary wants")]
pub fn checkpoint() -> Result<(PathBuf, PathBuf, PathBuf), String> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    prepare()
}

fn prepare() -> Result<(PathBuf, PathBuf, PathBuf), String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/kafka");
    let installed = home.join(VERSION);
    fetch_jars(&installed)?;
    sweep_old_runs(&home);
    let checkpoint = bootstrap_checkpoint(&installed)?;
    Ok((home, installed, checkpoint))
}

fn start(name: &str, properties: impl Fn(&str) -> String) -> Result<Broker, String> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (home, installed, checkpoint) = prepare()?;
    let run = home.join(format!("run-{}{name}", std::process::id()));
    let mut reason = String::new();
    for _ in 0..START_ATTEMPTS {
        match start_node(&installed, &checkpoint, &run, &properties) {
            Ok(broker) => return Ok(broker),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

fn fetch_jars(installed: &Path) -> Result<(), String> {
    let jars = installed.join("jars");
    if jars.is_dir() {
        return Ok(());
    }
    let partial = installed.join("jars.partial");
    let done = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/pom.xml"))
        .arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies")
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", partial.display()))
        .output()
        .map_err(|error| format!("mvn: {error}; install Maven and a Java 17 (`make test` does, where apt-get is at hand)"))?;
    if !done.status.success() {
        return Err(format!(
            "Maven could not fetch Kafka {VERSION} (`mvn -f tests/kafka/pom.xml dependency:resolve` shows why): {}",
            String::from_utf8_lossy(&done.stdout)
        ));
    }
    fs::rename(&partial, &jars).map_err(|error| format!("{}: {error}", jars.display()))
}

/// Removes what earlier test processes left, unless they are still there.
fn sweep_old_runs(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(run) = name.strip_prefix("run-")
            && let Some(pid) = run.split('-').next()
            && !Path::new("/proc").join(pid).exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The feature levels that a fresh data directory begins with; the same for every node, so formatted once per version.
fn bootstrap_checkpoint(installed: &Path) -> Result<PathBuf, String> {
    let cached = installed.join("bootstrap.checkpoint");
    if cached.is_file() {
        return Ok(cached);
    }
    let scratch = installed.join("format");
    let _ = fs::remove_dir_all(&scratch);
    let data = scratch.join("data");
    fs::create_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
    let properties = scratch.join("server.properties");
    write(&properties, &server_properties(9092, 9093, &data))?;
    let done = java(installed, &["-XX:TieredStopAtLevel=1"])
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
        .arg(&properties)
        .output()
        .map_err(|error| {
            format!("java: {error}; install a Java 17 (`make test` does, where apt-get is at hand)")
        })?;
    let made = data.join("bootstrap.checkpoint");
    if !done.status.success() || !made.is_file() {
        return Err(format!(
            "the data directory could not be formatted: {}",
            String::from_utf8_lossy(&done.stderr)
        ));
    }
    fs::rename(&made, &cached).map_err(|error| format!("{}: {error}", cached.display()))?;
    let _ = fs::remove_dir_all(&scratch);
    Ok(cached)
}

fn start_node(
    installed: &Path,
    checkpoint: &Path,
    run: &Path,
    further: &impl Fn(&str) -> String,
) -> Result<Broker, String> {
    let _ = fs::remove_dir_all(run);
    let data = run.join("data");
    fs::create_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
    fs::copy(checkpoint, data.join("bootstrap.checkpoint")).map_err(|error| error.to_string())?;
    write(
        &data.join("meta.properties"),
        &format!("version=1\ncluster.id={CLUSTER_ID}\nnode.id=1\n"),
    )?;
    let ((client_port, controller_port), _) =
        free_ports().map_err(|error| format!("no free port: {error}"))?;
    let properties = run.join("server.properties");
    let usual = server_properties(client_port, controller_port, &data);
    let further = further(&format!(
        "PLAINTEXT://127.0.0.1:{client_port},CONTROLLER://127.0.0.1:{controller_port}"
    ));
    write(&properties, &format!("{usual}{further}"))?;
    let logging = run.join("log4j2.properties");
    write(&logging, LOGGING)?;
    let log = run.join("broker.log");

    let mut command = java(
        installed,
        &[
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            &format!("-Dlog4j2.configurationFile={}", logging.display()),
        ],
    );
    let output = fs::File::create(&log).map_err(|error| error.to_string())?;
    command
        .arg("kafka.Kafka")
        .arg(&properties)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(|error| error.to_string())?)
        .stderr(output)
        .process_group(0);
    let mut child =
        spawn_from_lasting_thread(command).map_err(|error| format!("setpriv or java: {error}"))?;

    let address = format!("127.0.0.1:{client_port}");
    let answer = wait_for_metadata(&address, &mut child);
    if answer.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    answer.map(|()| Broker { address }).map_err(|error| {
        format!(
            "{error}; its log is {} :\n{}",
            log.display(),
            fs::read_to_string(&log).unwrap_or_default()
        )
    })
}

/// `java -cp jars`, to be killed by the kernel when the thread that spawns it ends.
pub fn java(installed: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "java"])
        .args(options)
        .arg("-cp")
        .arg(installed.join("jars/*"));
    command
}

/// The parent-death signal watches the spawning *thread*, and test threads end with their test.
pub fn spawn_from_lasting_thread(mut command: Command) -> std::io::Result<Child> {
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("broker-parent".into())
        .spawn(move || {
            let _ = sender.send(command.spawn());
            loop {
                std::thread::park();
            }
        })?;
    receiver.recv().expect("the thread sends before it parks")
}

fn wait_for_metadata(address: &str, child: &mut Child) -> Result<(), String> {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("log_level", "0")
        .set("reconnect.backoff.max.ms", "200")
        .create()
        .map_err(|error| error.to_string())?;
    let deadline = Instant::now() + START_DEADLINE;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Err(format!("the broker ended at once ({status})"));
        }
        match client.fetch_metadata(None, Duration::from_millis(500)) {
            Ok(metadata) if !metadata.brokers().is_empty() => return Ok(()),
            _ if Instant::now() > deadline => {
                return Err(format!(
                    "the broker gave no metadata within {} s",
                    START_DEADLINE.as_secs()
                ));
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Two ports, free as long as the listeners are held.
pub fn free_ports() -> std::io::Result<((u16, u16), [TcpListener; 2])> {
    let one = TcpListener::bind("127.0.0.1:0")?;
    let other = TcpListener::bind("127.0.0.1:0")?;
    let ports = (one.local_addr()?.port(), other.local_addr()?.port());
    Ok((ports, [one, other]))
}

pub fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("{}: {error}", path.display()))
}

pub const LOGGING: &str = "\
status=error
appender.c.type=Console
appender.c.name=c
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.c.ref=c
";

/// Small internal topics, no waiting before a first rebalance, quick clean-up of abandoned transactions. Nothing is compacted, so that a
/// test sees every word that was said.
fn server_properties(client_port: u16, controller_port: u16, data: &Path) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{client_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{client_port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
log.cleaner.enable=false
",
        data.display()
    )
}
