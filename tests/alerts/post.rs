//! What a receiver's answer becomes: taken, refused, or to be tried again; and what of it is shown.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;
use tidewatch::config::service::{Credentials, Receiver, ReceiverKind};
use tidewatch::runtime::alerts::http::{HttpPost, Post, PostError};

/// Answers one request so.
fn server(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0; 4096];
        while !request.ends_with(b"}") {
            let read = stream.read(&mut byte).unwrap();
            request.extend_from_slice(&byte[..read]);
        }
        let _ = stream.write_all(answer.as_bytes());
    });
    format!("http://{address}")
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn receiver() -> Receiver {
    Receiver {
        name: "r".to_owned(),
        kind: ReceiverKind::Webhook,
        urls: Vec::new(),
        url_file: None,
        credentials: Credentials::None,
        ca_file: None,
        timeout: Duration::from_secs(10),
        send_resolved: true,
        jobs: Vec::new(),
    }
}

fn post(receiver: &Receiver, url: &str) -> Result<(), PostError> {
    HttpPost::new(receiver).unwrap().post(url, b"{}")
}

#[test]
fn answers_are_taken_refused_or_to_be_tried_again_and_the_beginning_of_a_long_one_is_quoted() {
    let ask = |status: &str, body: &str| post(&receiver(), &server(answer(status, body)));
    assert_eq!(ask("204 No Content", ""), Ok(()));
    let refused = ask("400 Bad Request", "no\r\nsuch channel");
    let said = "400 Bad Request: no  such channel".to_owned();
    assert_eq!(refused, Err(PostError::Refused(said)));
    for status in [
        "301 Moved Permanently",
        "404 Not Found",
        "429 Too Many Requests",
        "503 Service Unavailable",
    ] {
        let failed = ask(status, "");
        assert_eq!(failed, Err(PostError::Failed(format!("{status}: "))));
    }
    for (header, wait) in [
        ("Retry-After: 30", Some(30)),
        ("retry-after:  7 ", Some(7)),
        ("Retry-After: Tue, 01 Dec 2026 00:00:00 GMT", None),
        ("Retry-After: -1", None),
    ] {
        let answer = answer("429 Too Many Requests", "");
        let answer = answer.replacen("\r\n", &format!("\r\n{header}\r\n"), 1);
        let said = "429 Too Many Requests: ".to_owned();
        let expected = match wait {
            Some(seconds) => PostError::Later(said, Duration::from_secs(seconds)),
            None => PostError::Failed(said),
        };
        assert_eq!(
            post(&receiver(), &server(answer)),
            Err(expected),
            "{header}"
        );
    }
    let page = format!("the reason{}", " and so on".repeat(10_000));
    let Err(PostError::Failed(said)) = ask("502 Bad Gateway", &page) else {
        panic!("a bad gateway is for now")
    };
    assert!(
        said.starts_with("502 Bad Gateway: the reason and"),
        "{said}"
    );
    assert!(said.len() < 400, "{}", said.len());
    let garbage = post(&receiver(), &server("\u{1}\u{2}garbage\r\n\r\n".to_owned()));
    assert!(matches!(garbage, Err(PostError::Failed(_))), "{garbage:?}");
    let cut = "HTTP/1.1 500 x\r\ncontent-length: 100\r\n\r\nhalf";
    let cut = post(&receiver(), &server(cut.to_owned()));
    assert_eq!(
        cut,
        Err(PostError::Failed(
            "500 Internal Server Error: half".to_owned()
        ))
    );
}

#[test]
fn an_answer_that_repeats_a_secret_address_is_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let hooked = Receiver {
        url_file: Some(file.clone()),
        ..receiver()
    };
    let ask = |body: &str| {
        let url = server(answer("404 Not Found", body));
        std::fs::write(
            &file,
            format!("{url}/services/T024F/xoxSecret1?key=Zk93aa12\n"),
        )
        .unwrap();
        post(&hooked, "").unwrap_err().to_string()
    };
    for echo in [
        "Cannot POST /services/T024F/xoxSecret1",
        "no route %2Fservices%2FT024F%2FxoxSecret1",
        &format!("{}{}", "x".repeat(290), "key=Zk93aa12"),
    ] {
        let said = ask(echo);
        assert_eq!(said, "404 Not Found: (an answer that repeats the address)");
    }
    assert_eq!(ask("no_team"), "404 Not Found: no_team");
}
