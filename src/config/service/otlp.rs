//! The `telemetry` section: whether traces leave by OTLP, where to, and how many.
//!
//! What the section does not say, OpenTelemetry's own variables may: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER` and the like, those of
//! traces (`..._TRACES_...`) before the general ones. Without an endpoint in either there are no traces, and `OTEL_SDK_DISABLED=true` or
//! `OTEL_TRACES_EXPORTER=none` have the last word. Holds: a header is a secret: it is in no `Debug` text and in no mistake.
//! Source: OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter Configuration"; W3C Baggage for lists of pairs.
//! Checked by: the tests below, tests/traces.rs.

use super::reader::Reader;
use super::{Secret, SecretFile};
use percent_encoding::percent_decode_str;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The share of transactions that are traced unless it is said: at five transactions a second, one every four seconds.
const RATIO: f64 = 0.05;
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const WITHOUT_ENDPOINT: &str =
    "means something only with telemetry.otlp.endpoint (or OTEL_EXPORTER_OTLP_ENDPOINT)";

/// Where traces go, by OTLP over HTTP, as protobuf.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// The whole address of the collector's door for traces.
    pub url: String,
    /// Sent with each request: from the environment.
    pub headers: Headers,
    /// More of them, read again for each request.
    pub headers_file: Option<SecretFile>,
    /// Certificates (PEM) to trust instead of those that browsers trust.
    pub ca_file: Option<PathBuf>,
    /// For one request.
    pub timeout: Duration,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// Which traces are kept.
    pub sampling: Sampling,
    /// `service.name`.
    pub service_name: String,
    /// Other attributes of the resource.
    pub attributes: Vec<(String, String)>,
}

/// Which traces are kept. The whole of a trace is, or nothing of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// This share of transactions; restores and snapshots, which are rare, always.
    Usual(f64),
    /// This share of all, whatever they are.
    Share(f64),
}

/// Headers of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Secret)>);

impl Headers {
    /// Reads `name=value` pairs with commas or line ends between, values percent-encoded. An error says which pair, and nothing of what is in it.
    pub fn parse(text: &str) -> Result<Headers, String> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let mut headers = Vec::new();
        for (at, (name, value)) in pairs(text)?.into_iter().enumerate() {
            let is_name = !name.is_empty() && name.chars().all(is_token);
            if !is_name || value.chars().any(char::is_control) {
                return Err(format!(
                    "pair {} is not a header: name=value, the value percent-encoded where it has a comma",
                    at + 1
                ));
            }
            headers.push((name.to_ascii_lowercase(), Secret::new(value)));
        }
        Ok(Headers(headers))
    }

    /// Names, in lower case, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// `name=value` pairs. An error says which, and nothing of what is in it.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let items = text.split([',', '\n', '\r']).map(str::trim);
    let items = items.filter(|item| !item.is_empty());
    let pair = |(at, item): (usize, &str)| {
        let wrong = || format!("pair {} is not name=value", at + 1);
        let (name, value) = item.split_once('=').ok_or_else(wrong)?;
        let value = percent_decode_str(value.trim()).decode_utf8();
        let value = value.map_err(|_| wrong())?;
        Ok((name.trim().to_owned(), value.into_owned()))
    };
    items.enumerate().map(pair).collect()
}

pub(super) fn read(reader: &mut Reader, base: &Path) -> Option<Otlp> {
    let endpoint = reader.text("telemetry.otlp.endpoint");
    let headers_file = reader.text("telemetry.otlp.headers_file");
    let ca_file = reader.text("telemetry.otlp.ca_file");
    let timeout = reader.duration_if_said("telemetry.otlp.timeout");
    let compression = reader.choice("telemetry.otlp.compression", &["none", "gzip"]);
    let ratio = reader.text("telemetry.otlp.sample_ratio");
    let is_disabled = reader
        .otel("OTEL_SDK_DISABLED")
        .is_some_and(|said| said.eq_ignore_ascii_case("true"));
    let is_elsewhere = reader.otel("OTEL_TRACES_EXPORTER") == Some("none");
    if is_disabled || is_elsewhere {
        return None;
    }
    let Some(url) = read_url(reader, endpoint) else {
        let said = [
            ("headers_file", headers_file.is_some()),
            ("ca_file", ca_file.is_some()),
            ("timeout", timeout.is_some()),
            ("compression", compression.is_some()),
            ("sample_ratio", ratio.is_some()),
        ];
        for (key, _) in said.iter().filter(|(_, is_said)| *is_said) {
            reader.mistake(&format!("telemetry.otlp.{key}"), WITHOUT_ENDPOINT.into());
        }
        return None;
    };
    refuse_what_is_not_built(reader);
    let timeout = timeout.unwrap_or_else(|| read_timeout(reader));
    let gzip = match compression {
        Some(said) => said == "gzip",
        None => said_of(reader, "COMPRESSION") == Some("gzip".to_owned()),
    };
    let ca_file = match ca_file {
        Some(file) => Some(base.join(file)),
        None => said_of(reader, "CERTIFICATE").map(PathBuf::from),
    };
    let attributes = read_attributes(reader);
    let named = attributes.iter().find(|(name, _)| name == "service.name");
    let service_name = match (reader.otel("OTEL_SERVICE_NAME"), named) {
        (Some(name), _) => name.to_owned(),
        (None, Some((_, name))) => name.clone(),
        (None, None) => "tidewatch".to_owned(),
    };
    Some(Otlp {
        url,
        headers: read_headers(reader),
        headers_file: headers_file.map(|file| SecretFile::at(base.join(file))),
        ca_file,
        timeout,
        gzip,
        sampling: read_sampling(reader, ratio),
        service_name,
        attributes,
    })
}

/// The variable of traces, or else the general one.
fn said_of(reader: &Reader, what: &str) -> Option<String> {
    let of_traces = reader.otel(&format!("OTEL_EXPORTER_OTLP_TRACES_{what}"));
    let said = of_traces.or_else(|| reader.otel(&format!("OTEL_EXPORTER_OTLP_{what}")));
    said.map(str::to_owned)
}

/// Where to, if anywhere. What the section says, and the general variable, is where a collector is; its door for traces is below that.
fn read_url(reader: &mut Reader, endpoint: Option<String>) -> Option<String> {
    let (path, said) = match endpoint {
        Some(said) => ("telemetry.otlp.endpoint", said),
        None => {
            let path = *ENDPOINTS.iter().find(|name| reader.otel(name).is_some())?;
            (path, reader.otel(path)?.to_owned())
        }
    };
    let whole = match path == ENDPOINTS[0] {
        true => said.clone(),
        false => format!("{}/v1/traces", said.trim_end_matches('/')),
    };
    let problem = match url::Url::parse(&said) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "has a name or password in it; say it as a header, in headers_file".to_owned()
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            return Some(whole);
        }
        _ => "is not a URL over HTTP; http://collector:4318 would be right".to_owned(),
    };
    reader.mistake(path, problem);
    Some(whole)
}

/// A collector that is spoken to in another way than was asked for would be silent.
fn refuse_what_is_not_built(reader: &mut Reader) {
    if let Some(said) = said_of(reader, "PROTOCOL").filter(|said| said != "http/protobuf") {
        reader.mistake(
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            format!("\"{said}\" is not spoken here; http/protobuf is (its usual port is 4318)"),
        );
    }
    if let Some(said) = reader.otel("OTEL_TRACES_EXPORTER").map(str::to_owned)
        && said != "otlp"
    {
        let problem = format!("\"{said}\" is not built; otlp and none are");
        reader.mistake("OTEL_TRACES_EXPORTER", problem);
    }
    if let Some(said) = said_of(reader, "COMPRESSION")
        && !matches!(said.as_str(), "gzip" | "none")
    {
        let problem = format!("\"{said}\" is none of none, gzip");
        reader.mistake("OTEL_EXPORTER_OTLP_COMPRESSION", problem);
    }
    for what in ["CLIENT_KEY", "CLIENT_CERTIFICATE"] {
        if said_of(reader, what).is_some() {
            let problem = "client certificates are not sent; authenticate with a header".into();
            reader.mistake(&format!("OTEL_EXPORTER_OTLP_{what}"), problem);
        }
    }
}

/// As the specification has it: milliseconds.
fn read_timeout(reader: &mut Reader) -> Duration {
    const USUAL: Duration = Duration::from_secs(10);
    let Some(said) = said_of(reader, "TIMEOUT") else {
        return USUAL;
    };
    match said.parse() {
        Ok(ms @ 1..) => Duration::from_millis(ms),
        _ => {
            let problem = format!("\"{said}\" is not a number of milliseconds, 1 at least");
            reader.mistake("OTEL_EXPORTER_OTLP_TIMEOUT", problem);
            USUAL
        }
    }
}

fn read_headers(reader: &mut Reader) -> Headers {
    let said = said_of(reader, "HEADERS").unwrap_or_default();
    Headers::parse(&said).unwrap_or_else(|problem| {
        reader.mistake("OTEL_EXPORTER_OTLP_HEADERS", problem);
        Headers::default()
    })
}

fn read_attributes(reader: &mut Reader) -> Vec<(String, String)> {
    let said = reader.otel("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    pairs(said).unwrap_or_else(|problem| {
        reader.mistake("OTEL_RESOURCE_ATTRIBUTES", problem);
        Vec::new()
    })
}

/// What the section says, then the variables, then the usual.
fn read_sampling(reader: &mut Reader, ratio: Option<String>) -> Sampling {
    let share = |text: &str| {
        let share: Option<f64> = text.trim().parse().ok();
        share.filter(|share| (0.0..=1.0).contains(share))
    };
    if let Some(text) = ratio {
        return match share(&text) {
            Some(ratio) => Sampling::Usual(ratio),
            None => {
                let problem = format!("\"{text}\" is not a share, 0 to 1");
                reader.mistake("telemetry.otlp.sample_ratio", problem);
                Sampling::Usual(RATIO)
            }
        };
    }
    let Some(sampler) = reader.otel("OTEL_TRACES_SAMPLER").map(str::to_owned) else {
        return Sampling::Usual(RATIO);
    };
    // Every trace begins here, so that a sampler that asks its parent does what it does without.
    match sampler.trim_start_matches("parentbased_") {
        "always_on" => Sampling::Share(1.0),
        "always_off" => Sampling::Share(0.0),
        "traceidratio" => {
            let said = reader.otel("OTEL_TRACES_SAMPLER_ARG").unwrap_or("1");
            let share = share(said);
            if share.is_none() {
                let problem = format!("\"{said}\" is not a share, 0 to 1");
                reader.mistake("OTEL_TRACES_SAMPLER_ARG", problem);
            }
            Sampling::Share(share.unwrap_or(0.0))
        }
        _ => {
            reader.mistake(
                "OTEL_TRACES_SAMPLER",
                format!("\"{sampler}\" is none of always_on, always_off, traceidratio, alone or after parentbased_"),
            );
            Sampling::Usual(RATIO)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::service::Service;

    const SMALL: &str =
        "kafka: {properties: {bootstrap.servers: 'b:9092'}, instance_id: a}, jobs: Cargo.toml";

    fn read(section: &str, environment: &[(&str, &str)]) -> Result<Option<Otlp>, String> {
        let environment = environment
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        let text = format!("{{{SMALL}, telemetry: {{otlp: {{{section}}}}}}}");
        let base = Path::new(env!("CARGO_MANIFEST_DIR"));
        let service = Service::parse("test.yaml", &text, base, environment);
        match service {
            Ok(service) => Ok(service.otlp),
            Err(errors) => Err(errors.to_string()),
        }
    }

    fn on(section: &str, environment: &[(&str, &str)]) -> Otlp {
        read(section, environment).unwrap().expect("traces")
    }

    #[test]
    fn there_are_no_traces_unless_somebody_says_where_to() {
        assert_eq!(read("", &[]), Ok(None));
        assert_eq!(read("", &[("OTEL_SERVICE_NAME", "x")]), Ok(None));
        let said = "endpoint: 'http://c:4318'";
        let all = on(said, &[]);
        assert_eq!(all.url, "http://c:4318/v1/traces");
        assert_eq!(all.sampling, Sampling::Usual(0.05));
        assert_eq!(
            (all.service_name.as_str(), all.gzip, all.timeout.as_secs()),
            ("tidewatch", false, 10)
        );
        for off in [
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ] {
            assert_eq!(read(said, &[off]), Ok(None));
        }
    }

    #[test]
    fn the_variables_of_opentelemetry_are_heard_those_of_traces_first_and_the_file_before_both() {
        let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://all:4318/in/");
        let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:9/own");
        assert_eq!(on("", &[general]).url, "https://all:4318/in/v1/traces");
        assert_eq!(on("", &[general, of_traces]).url, "http://t:9/own");
        let file = on("endpoint: 'http://file:1'", &[general, of_traces]);
        assert_eq!(file.url, "http://file:1/v1/traces");
        let ours = ("TIDEWATCH_TELEMETRY_OTLP_ENDPOINT", "http://ours:2");
        assert_eq!(on("", &[general, ours]).url, "http://ours:2/v1/traces");

        let otlp = on(
            "",
            &[
                general,
                ("OTEL_SERVICE_NAME", "watch"),
                (
                    "OTEL_RESOURCE_ATTRIBUTES",
                    "service.name=no, deployment.environment.name=a%2Cb",
                ),
                ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x,a=b"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
                ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ],
        );
        assert_eq!(otlp.service_name, "watch");
        assert_eq!(otlp.attributes[1].1, "a,b");
        let headers: Vec<_> = otlp.headers.iter().collect();
        assert_eq!(
            (headers[0].0, headers[0].1.reveal()),
            ("authorization", "Bearer x")
        );
        assert_eq!(otlp.timeout, Duration::from_millis(2500));
        assert!(otlp.gzip);
        assert_eq!(otlp.sampling, Sampling::Share(0.25));
        assert!(!format!("{otlp:?}").contains("Bearer"), "{otlp:?}");
    }

    #[test]
    fn what_is_wrong_is_said_together_and_no_header_is_in_it() {
        let errors = read(
            "endpoint: 'collector:4318', sample_ratio: 7, compression: brotli",
            &[
                ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,hunter2"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ("OTEL_TRACES_EXPORTER", "zipkin"),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ],
        );
        let errors = errors.unwrap_err();
        for said in [
            "telemetry.otlp.endpoint: is not a URL over HTTP",
            "telemetry.otlp.sample_ratio: \"7\" is not a share",
            "\"brotli\" is none of none, gzip",
            "pair 2 is not name=value",
            "\"grpc\" is not spoken here",
            "\"zipkin\" is not built",
            "\"soon\" is not a number of milliseconds",
        ] {
            assert!(errors.contains(said), "{said}: {errors}");
        }
        assert!(!errors.contains("hunter2"), "{errors}");
        let secret = "endpoint: 'http://me:hunter2@c:4318'";
        let errors = read(secret, &[]).unwrap_err();
        assert!(errors.contains("has a name or password in it") && !errors.contains("hunter2"));
        let alone = read("headers_file: x, timeout: 1s", &[]).unwrap_err();
        assert!(alone.contains("telemetry.otlp.headers_file: means something only with"));
        let sampler = [("OTEL_TRACES_SAMPLER", "jaeger_remote")];
        let errors = read("endpoint: 'http://c:4318'", &sampler).unwrap_err();
        assert!(errors.contains("\"jaeger_remote\" is none of"), "{errors}");
        let control = Headers::parse("a=b%0Ac");
        assert_eq!(
            control.unwrap_err().split(':').next(),
            Some("pair 1 is not a header")
        );
    }
}
