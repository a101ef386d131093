//! Tools and a prompt that ask the client for something by an answer of their own, which the client
//! repeats its request for (2026-07-28, SEP-2322).

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, GetPromptRequestParams,
    GetPromptResponse, InputRequiredResult, InputResponses, RequestStateCodec,
};
use serde_json::{Value, json};

use crate::content::{complete, messages, text, typed};
use crate::tools::texts;

const PREFIX: &str = "test_input_required_result_";

/// Answers the tools whose name begins so, or None.
pub(crate) fn call(
    request: &CallToolRequestParams,
    capabilities: Option<&ClientCapabilities>,
    states: &RequestStateCodec,
) -> Option<Result<CallToolResponse, ErrorData>> {
    let tool = request.name.strip_prefix(PREFIX)?;
    Some(answer(tool, request, capabilities, states))
}

fn answer(
    tool: &str,
    request: &CallToolRequestParams,
    capabilities: Option<&ClientCapabilities>,
    states: &RequestStateCodec,
) -> Result<CallToolResponse, ErrorData> {
    let given = Given(request.input_responses.as_ref());
    // Whatever is echoed must be what this tool gave out, before anything is made of it.
    let round = match &request.request_state {
        None => 0,
        Some(state) => opened(states, state, tool)?,
    };
    match tool {
        "elicitation" => match given.accepted("user_name", "name") {
            Some(Value::String(name)) => say(format!("Hello, {name}!")),
            _ => ask(json!({"user_name": form("What is your name?", "name", "string")}), None),
        },
        "sampling" => match given.text("capital_question") {
            Some(answer) => say(format!("LLM response: {answer}")),
            None => ask(
                json!({"capital_question": sample("What is the capital of France?", 100)}),
                None,
            ),
        },
        "list_roots" => match given.roots("client_roots") {
            Some(roots) => say(format!("Roots: {roots}")),
            None => ask(json!({"client_roots": list_roots()}), None),
        },
        "request_state" | "tampered_state" => match given.accepted("confirm", "ok") {
            Some(Value::Bool(_)) if round == 1 => say("state-ok"),
            _ => ask(
                json!({"confirm": form("Please confirm", "ok", "boolean")}),
                Some(sealed(states, tool, 1)?),
            ),
        },
        "multiple_inputs" => {
            let name = given.accepted("user_name", "name").and_then(Value::as_str);
            match (name, given.text("greeting"), given.roots("client_roots")) {
                (Some(name), Some(greeting), Some(roots)) if round == 1 => {
                    say(format!("{greeting} {name}: {roots}"))
                }
                _ => ask(
                    json!({
                        "user_name": form("What is your name?", "name", "string"),
                        "greeting": sample("Generate a greeting", 50),
                        "client_roots": list_roots(),
                    }),
                    Some(sealed(states, tool, 1)?),
                ),
            }
        }
        "multi_round" => match round {
            1 if given.accepted("step1", "name").is_some() => ask(
                json!({"step2": form("Step 2: What is your favorite color?", "color", "string")}),
                Some(sealed(states, tool, 2)?),
            ),
            2 if given.accepted("step2", "color").is_some() => say("Both steps are done."),
            _ => ask(
                json!({"step1": form("Step 1: What is your name?", "name", "string")}),
                Some(sealed(states, tool, 1)?),
            ),
        },
        "capabilities" => capable(given, capabilities),
        _ => Err(ErrorData::invalid_params(format!("there is no tool {:?}", request.name), None)),
    }
}

/// Asks for all of what the client has said that it can do.
fn capable(
    given: Given<'_>,
    capabilities: Option<&ClientCapabilities>,
) -> Result<CallToolResponse, ErrorData> {
    if given.0.is_some_and(|responses| !responses.is_empty()) {
        return say("Thank you.");
    }
    let mut requests = serde_json::Map::new();
    if let Some(client) = capabilities {
        if client.elicitation.is_some() {
            requests.insert("user_name".into(), form("What is your name?", "name", "string"));
        }
        if client.sampling.is_some() {
            requests.insert("greeting".into(), sample("Generate a greeting", 50));
        }
        if client.roots.is_some() {
            requests.insert("client_roots".into(), list_roots());
        }
    }
    if requests.is_empty() { say("Nothing to ask for.") } else { ask(requests.into(), None) }
}

/// Answers the prompt that wants its context from the client, or None.
pub(crate) fn prompt(
    request: &GetPromptRequestParams,
) -> Option<Result<GetPromptResponse, ErrorData>> {
    if request.name.strip_prefix(PREFIX)? != "prompt" {
        return None;
    }
    let given = Given(request.input_responses.as_ref());
    Some(match given.accepted("user_context", "context") {
        Some(Value::String(context)) => {
            let prompt = messages(vec![text(format!("In the context of {context}."))]);
            complete(prompt).map(GetPromptResponse::Complete)
        }
        _ => required(
            json!({
                "user_context": form("What context should the prompt use?", "context", "string"),
            }),
            None,
        )
        .map(GetPromptResponse::InputRequired),
    })
}

/// The name that [`ask_for_name`] asked for.
pub(crate) fn name_given(request: &CallToolRequestParams) -> Option<String> {
    let given = Given(request.input_responses.as_ref());
    Some(given.accepted("user_name", "name")?.as_str()?.to_owned())
}

/// Asks for one text, as a tool may that streams.
pub(crate) fn ask_for_name() -> Result<CallToolResponse, ErrorData> {
    ask(json!({"user_name": form("What is your name?", "name", "string")}), None)
}

/// What the client sent with its repeated request, which may be anything at all.
#[derive(Clone, Copy)]
struct Given<'a>(Option<&'a InputResponses>);

impl<'a> Given<'a> {
    fn get(self, key: &str) -> Option<&'a Value> {
        self.0?.get(key)
    }

    /// The field of an elicitation that was accepted.
    fn accepted(self, key: &str, field: &str) -> Option<&'a Value> {
        let response = self.get(key)?;
        (response.get("action")? == "accept").then(|| response.get("content")?.get(field))?
    }

    /// The text of a sampled message.
    fn text(self, key: &str) -> Option<&'a str> {
        self.get(key)?.get("content")?.get("text")?.as_str()
    }

    fn roots(self, key: &str) -> Option<String> {
        let roots = self.get(key)?.get("roots")?.as_array()?;
        let uris: Option<Vec<&str>> = roots.iter().map(|root| root.get("uri")?.as_str()).collect();
        Some(uris?.join(", "))
    }
}

pub(crate) fn form(message: &str, field: &str, kind: &str) -> Value {
    let schema =
        json!({"type": "object", "properties": {field: {"type": kind}}, "required": [field]});
    json!({"method": "elicitation/create",
           "params": {"mode": "form", "message": message, "requestedSchema": schema}})
}

fn sample(question: &str, max_tokens: u32) -> Value {
    json!({"method": "sampling/createMessage",
           "params": {"messages": [{"role": "user", "content": text(question)}],
                      "maxTokens": max_tokens}})
}

fn list_roots() -> Value {
    json!({"method": "roots/list", "params": {}})
}

fn say(said: impl Into<String>) -> Result<CallToolResponse, ErrorData> {
    texts([said]).map(CallToolResponse::Complete)
}

fn ask(requests: Value, state: Option<String>) -> Result<CallToolResponse, ErrorData> {
    required(requests, state).map(CallToolResponse::InputRequired)
}

fn required(requests: Value, state: Option<String>) -> Result<InputRequiredResult, ErrorData> {
    Ok(InputRequiredResult::new(Some(typed(requests)?), state))
}

fn sealed(states: &RequestStateCodec, tool: &str, round: u32) -> Result<String, ErrorData> {
    states
        .seal_json(&(tool, round))
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

fn opened(states: &RequestStateCodec, state: &str, tool: &str) -> Result<u32, ErrorData> {
    match states.open_json::<(String, u32)>(state) {
        Ok((of, round)) if of == tool => Ok(round),
        _ => {
            Err(ErrorData::invalid_params("requestState is not one that this tool gave out", None))
        }
    }
}
