//! `tidewatch.input` and `tidewatch.input_layout`: what the messages of a job's topics are.
//!
//! `json`, or `text`: lines of a log. Of those, `plain`, `syslog` or `web_server` says how all of them are laid out. Checked: tests/config.

use super::object::{Object, shown};
use super::suggest::nearest;
use crate::config::extensions::{Input, LineLayout};
use serde_json::Value;

const KEY: &str = "input";
const LAYOUT: &str = "input_layout";
const LAYOUTS: [LineLayout; 3] = [LineLayout::Plain, LineLayout::Syslog, LineLayout::WebServer];

/// Reads the keys; `None` when they are not there, or wrong (which is noted).
pub(super) fn read(object: &Object<'_>) -> Option<Input> {
    let layout = object.text(LAYOUT).map(|name| (name, layout(name)));
    if let Some((name, None)) = layout {
        let names = || LAYOUTS.into_iter().filter_map(LineLayout::name);
        let hint = match nearest(name, names()) {
            Some(near) => format!("; did you mean {near:?}?"),
            None => "; \"plain\", \"syslog\" and \"web_server\" are".to_owned(),
        };
        object.wrong(LAYOUT, format!("{} is no layout{hint}", shown(name)));
    }
    let is_text = match object.text(KEY) {
        Some("text") => true,
        Some("json") | None => false,
        Some("csv") => {
            let message = "\"csv\" is read from files only; a topic holds \"json\" or \"text\"";
            object.wrong(KEY, message);
            return None;
        }
        Some(other) => {
            let message = format!("{} is neither \"json\" nor \"text\"", shown(other));
            object.wrong(KEY, message);
            return None;
        }
    };
    if layout.is_some() && !is_text {
        object.wrong(LAYOUT, "needs input: text");
        return None;
    }
    let layout = layout.and_then(|(_, layout)| layout);
    is_text.then(|| Input::Text(layout.unwrap_or_default()))
}

fn layout(name: &str) -> Option<LineLayout> {
    LAYOUTS.into_iter().find(|one| one.name() == Some(name))
}

/// Adds what [`read`] has read to what a response shows.
pub(super) fn render(input: Input, document: &mut Value) {
    if let Input::Text(layout) = input {
        document[KEY] = "text".into();
        if let Some(name) = layout.name() {
            document[LAYOUT] = name.into();
        }
    }
}
