//! A broker that lets in only whom it knows, and only where it may go: TLS, four ways to log in, ACLs. One for all tests of security.
//!
//! The usual plaintext listener is the administrator's (anonymous is a super user): tests lay out topics, users and rights there, and read
//! what came of it. Users and rights are made with librdkafka's own admin calls, which the safe client lacks.

use crate::broker::{Broker, start_beside};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka_sys as sys;
use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The password of every user of the PLAIN mechanism.
pub const PLAIN_PASSWORD: &str = "plain-as-day-7261";
/// Users that PLAIN knows: two who have every right they need, and as many as there are rights to take away.
pub const PLAIN_USERS: [&str; 11] = [
    "all", "least", "tools", "shown", "viewer", "no0", "no1", "no2", "no3", "no4", "no5",
];
/// How long a connection of a SCRAM user lasts before it must prove itself again.
const SCRAM_SESSION_MS: u64 = 3_000;

/// The broker, its doors, and the authority behind its certificates.
pub struct Secured {
    pub broker: Broker,
    /// `SASL_SSL`: SCRAM-SHA-512, PLAIN, OAUTHBEARER.
    pub sasl_ssl: String,
    /// `SSL`, for clients with a certificate.
    pub ssl: String,
    pub ca: Authority,
    files: TempDir,
}

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new([]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for 127.0.0.1 and its PKCS#8 key, as PEM.
    pub fn sign(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(["127.0.0.1".to_string()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// The secured broker of this test binary; started at the first call.
pub fn secured() -> &'static Secured {
    static SECURED: OnceLock<Secured> = OnceLock::new();
    SECURED.get_or_init(start)
}

fn start() -> Secured {
    let files = TempDir::new().expect("a directory");
    let ca = Authority::new("tests");
    let (certificate, key) = ca.sign("broker");
    write(files.path(), "broker.pem", &format!("{key}{certificate}"));
    write(files.path(), "ca.pem", &ca.pem);
    let ports = Cell::new((0, 0));
    let broker = start_beside("secured", |usual| {
        ports.set((free_port(), free_port()));
        properties(usual, ports.get(), files.path())
    });
    let (sasl_ssl, ssl) = ports.get();
    Secured {
        broker,
        sasl_ssl: format!("127.0.0.1:{sasl_ssl}"),
        ssl: format!("127.0.0.1:{ssl}"),
        ca,
        files,
    }
}

fn properties(usual: &str, (sasl_ssl, ssl): (u16, u16), files: &Path) -> String {
    let users: String = PLAIN_USERS
        .iter()
        .map(|user| format!(" user_{user}=\"{PLAIN_PASSWORD}\""))
        .collect();
    let module = "org.apache.kafka.common.security";
    let files = files.display();
    let doors = format!("SASL_SSL://127.0.0.1:{sasl_ssl},SSL://127.0.0.1:{ssl}");
    let advertised = usual.split(',').next().expect("the client listener");
    format!(
        "listeners={usual},{doors}
advertised.listeners={advertised},{doors}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN,OAUTHBEARER
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.connections.max.reauth.ms={SCRAM_SESSION_MS}
listener.name.sasl_ssl.plain.sasl.jaas.config={module}.plain.PlainLoginModule required{users};
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";
listener.name.ssl.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={files}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={files}/ca.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"
    )
}

impl Secured {
    /// The file with the authority's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// Gives a SCRAM user a password; from then on the old one is worth nothing.
    pub fn set_scram_password(&self, user: &str, password: &str) {
        let user = CString::new(user).expect("no zero");
        // SAFETY: the alteration is made of live texts, which are copied, and destroyed after the call that borrows it.
        self.administer(|client, queue| unsafe {
            let mut alteration = sys::rd_kafka_UserScramCredentialUpsertion_new(
                user.as_ptr(),
                sys::rd_kafka_ScramMechanism_t::RD_KAFKA_SCRAM_MECHANISM_SHA_512,
                4096,
                password.as_ptr(),
                password.len(),
                ptr::null(),
                0,
            );
            sys::rd_kafka_AlterUserScramCredentials(client, &mut alteration, 1, ptr::null(), queue);
            sys::rd_kafka_UserScramCredentialAlteration_destroy(alteration);
        });
    }

    /// Grants a right.
    pub fn grant(&self, principal: &str, right: &Right<'_>) {
        let (principal, name, host) = (
            CString::new(format!("User:{principal}")).expect("no zero"),
            CString::new(right.name).expect("no zero"),
            c"*",
        );
        let mut why = [0; 256];
        // SAFETY: the binding is made of live texts, which are copied, and destroyed after the call that borrows it.
        self.administer(|client, queue| unsafe {
            let mut binding = sys::rd_kafka_AclBinding_new(
                right.kind,
                name.as_ptr(),
                right.pattern,
                principal.as_ptr(),
                host.as_ptr(),
                right.operation,
                sys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
                why.as_mut_ptr(),
                why.len(),
            );
            assert!(!binding.is_null(), "{:?}", CStr::from_ptr(why.as_ptr()));
            sys::rd_kafka_CreateAcls(client, &mut binding, 1, ptr::null(), queue);
            sys::rd_kafka_AclBinding_destroy(binding);
        });
    }

    /// Makes one admin call, and waits for its answer.
    fn administer(&self, call: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_queue_t)) {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.broker.address)
            .create()
            .expect("an admin client");
        let client = admin.inner().native_ptr();
        // SAFETY: the client lives to the end of this function; queue and event are ours, and destroyed once.
        unsafe {
            let queue = sys::rd_kafka_queue_new(client);
            call(client, queue);
            let event = sys::rd_kafka_queue_poll(queue, 30_000);
            assert!(!event.is_null(), "the broker did not answer an admin call");
            let error = sys::rd_kafka_event_error(event);
            let why = CStr::from_ptr(sys::rd_kafka_event_error_string(event)).to_owned();
            sys::rd_kafka_event_destroy(event);
            sys::rd_kafka_queue_destroy(queue);
            assert_eq!(
                error,
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
                "{why:?}"
            );
        }
    }
}

/// An operation on a resource.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a> {
    pub kind: sys::rd_kafka_ResourceType_t,
    pub pattern: sys::rd_kafka_ResourcePatternType_t,
    pub name: &'a str,
    pub operation: sys::rd_kafka_AclOperation_t,
}

/// Everything that a service of this prefix, which is also its group id, needs on an input; the table of docs/security.md.
pub fn rights<'a>(input: &'a str, prefix: &'a str) -> Vec<Right<'a>> {
    use sys::rd_kafka_AclOperation_t::{
        RD_KAFKA_ACL_OPERATION_CREATE as CREATE, RD_KAFKA_ACL_OPERATION_READ as READ,
        RD_KAFKA_ACL_OPERATION_WRITE as WRITE,
    };
    use sys::rd_kafka_ResourcePatternType_t::{
        RD_KAFKA_RESOURCE_PATTERN_LITERAL as LITERAL,
        RD_KAFKA_RESOURCE_PATTERN_PREFIXED as PREFIXED,
    };
    use sys::rd_kafka_ResourceType_t::{
        RD_KAFKA_RESOURCE_GROUP as GROUP, RD_KAFKA_RESOURCE_TOPIC as TOPIC,
        RD_KAFKA_RESOURCE_TRANSACTIONAL_ID as TRANSACTIONAL_ID,
    };
    [
        (TOPIC, LITERAL, input, READ),
        (TOPIC, PREFIXED, prefix, READ),
        (TOPIC, PREFIXED, prefix, WRITE),
        (TOPIC, PREFIXED, prefix, CREATE),
        (GROUP, PREFIXED, prefix, READ),
        (TRANSACTIONAL_ID, PREFIXED, prefix, WRITE),
    ]
    .map(|(kind, pattern, name, operation)| Right {
        kind,
        pattern,
        name,
        operation,
    })
    .into()
}

/// What `tidewatch jobs` and `tidewatch topics` need besides; the second table of docs/security.md.
pub fn rights_of_tools(prefix: &str) -> Vec<Right<'_>> {
    use sys::rd_kafka_AclOperation_t::{
        RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS as ALTER_CONFIGS,
        RD_KAFKA_ACL_OPERATION_DELETE as DELETE,
        RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS as DESCRIBE_CONFIGS,
    };
    use sys::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_PREFIXED as PREFIXED;
    use sys::rd_kafka_ResourceType_t::{
        RD_KAFKA_RESOURCE_GROUP as GROUP, RD_KAFKA_RESOURCE_TOPIC as TOPIC,
    };
    [
        (TOPIC, DELETE),
        (GROUP, DELETE),
        (TOPIC, DESCRIBE_CONFIGS),
        (TOPIC, ALTER_CONFIGS),
    ]
    .map(|(kind, operation)| Right {
        kind,
        pattern: PREFIXED,
        name: prefix,
        operation,
    })
    .into()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// Writes a file into a directory.
pub fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).expect("a file is written");
}
