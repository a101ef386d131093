//! What the server has to show: pieces of content, resources, prompts and completions.

use rmcp::ErrorData;
use rmcp::model::{JsonObject, ProtocolVersion};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// One red pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC";
/// A millisecond of silence.
const WAV: &str = "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQgAAACAgICAgICAgA==";

/// Makes a type of the protocol from the JSON that it is on the wire.
pub(crate) fn typed<T: DeserializeOwned>(json: Value) -> Result<T, ErrorData> {
    serde_json::from_value(json)
        .map_err(|error| ErrorData::internal_error(format!("the server's own JSON: {error}"), None))
}

/// Makes the result of a request. Older protocol versions have no `resultType`: rmcp removes it.
pub(crate) fn complete<T: DeserializeOwned>(mut json: Value) -> Result<T, ErrorData> {
    if let Some(result) = json.as_object_mut() {
        result.insert("resultType".to_owned(), "complete".into());
    }
    typed(json)
}

pub(crate) fn text(text: impl Into<String>) -> Value {
    json!({"type": "text", "text": text.into()})
}

pub(crate) fn image() -> Value {
    json!({"type": "image", "data": PNG, "mimeType": "image/png"})
}

pub(crate) fn audio() -> Value {
    json!({"type": "audio", "data": WAV, "mimeType": "audio/wav"})
}

pub(crate) fn embedded(uri: &str, mime_type: &str, text: &str) -> Value {
    json!({"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": text}})
}

pub(crate) fn resources() -> Value {
    json!({"resources": [
        {"uri": "test://static-text", "name": "static-text", "mimeType": "text/plain",
         "description": "A text that stays as it is."},
        {"uri": "test://static-binary", "name": "static-binary", "mimeType": "image/png",
         "description": "One red pixel."},
        {"uri": "test://watched-resource", "name": "watched-resource", "mimeType": "text/plain",
         "description": "A text to subscribe to."},
    ]})
}

pub(crate) fn resource_templates() -> Value {
    json!({"resourceTemplates": [
        {"uriTemplate": "test://template/{id}/data", "name": "data", "mimeType": "application/json",
         "description": "The data that belong to an id."},
    ]})
}

/// Reads the resource at `uri`. The code of what is not there was another before 2026-07-28.
pub(crate) fn read(uri: &str, version: Option<&ProtocolVersion>) -> Result<Value, ErrorData> {
    let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
    let content = match (uri, id) {
        ("test://static-text", _) => json!({
            "uri": uri, "mimeType": "text/plain",
            "text": "This is the content of the static text resource.",
        }),
        ("test://static-binary", _) => json!({"uri": uri, "mimeType": "image/png", "blob": PNG}),
        ("test://watched-resource", _) => {
            json!({"uri": uri, "mimeType": "text/plain", "text": "Nothing has changed."})
        }
        (_, Some(id)) => {
            let data =
                json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
            json!({"uri": uri, "mimeType": "application/json", "text": data.to_string()})
        }
        (_, None) => {
            let data = Some(json!({"uri": uri}));
            let is_older = version.is_none_or(|version| *version < ProtocolVersion::V_2026_07_28);
            return Err(if is_older {
                ErrorData::resource_not_found("Resource not found", data)
            } else {
                ErrorData::invalid_params("Resource not found", data)
            });
        }
    };
    Ok(json!({"contents": [content]}))
}

pub(crate) fn prompts() -> Value {
    let required = |name, description| -> Value {
        json!({"name": name, "description": description, "required": true})
    };
    json!({"prompts": [
        {"name": "test_simple_prompt", "description": "A prompt without arguments."},
        {"name": "test_prompt_with_arguments",
         "description": "A prompt that repeats its arguments.",
         "arguments": [required("arg1", "The first."), required("arg2", "The second.")]},
        {"name": "test_prompt_with_embedded_resource",
         "description": "A prompt with a resource in it.",
         "arguments": [required("resourceUri", "The resource's URI.")]},
        {"name": "test_prompt_with_image", "description": "A prompt with an image in it."},
        {"name": "test_input_required_result_prompt",
         "description": "A prompt that asks for its context."},
    ]})
}

/// Makes the prompt called `name`; all but the one that asks the client for something first.
pub(crate) fn prompt(name: &str, arguments: &JsonObject) -> Result<Value, ErrorData> {
    let argument = |name: &str| {
        arguments.get(name).and_then(Value::as_str).ok_or_else(|| {
            ErrorData::invalid_params(format!("the argument {name} is missing"), None)
        })
    };
    let contents = match name {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => {
            let (first, second) = (argument("arg1")?, argument("arg2")?);
            vec![text(format!("Prompt with arguments: arg1='{first}', arg2='{second}'"))]
        }
        "test_prompt_with_embedded_resource" => vec![
            embedded(
                argument("resourceUri")?,
                "text/plain",
                "Embedded resource content for testing.",
            ),
            text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image" => vec![image(), text("Please analyze the image above.")],
        _ => return Err(ErrorData::invalid_params(format!("there is no prompt {name:?}"), None)),
    };
    Ok(messages(contents))
}

/// The result of prompts/get with these contents, each as a message of the user's.
pub(crate) fn messages(contents: Vec<Value>) -> Value {
    let messages: Vec<Value> =
        contents.into_iter().map(|content| json!({"role": "user", "content": content})).collect();
    json!({"messages": messages})
}

pub(crate) fn completion(begun: &str) -> Value {
    let values: Vec<&str> = ["paris", "park", "party", "test"]
        .into_iter()
        .filter(|all| all.starts_with(begun))
        .collect();
    json!({"completion": {"total": values.len(), "values": values, "hasMore": false}})
}
