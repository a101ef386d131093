//! The tools: what they are called, and what they do.

use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientResult,
    LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam, ServerRequest, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Map, Value, json};

use crate::content::{audio, complete, embedded, image, text, typed};
use crate::server::{Change, Conformant};
use crate::{input, tasks};

/// Between two messages of one answer.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);
/// Until a client whose stream was closed has come back. rmcp keeps no answer that nobody waits
/// for, and the suite waits for it for 5 s.
const ABSENCE: Duration = Duration::from_secs(1);

/// Every tool, in the order of tools/list. The first one takes no arguments: the suite calls it so.
pub(crate) fn all() -> Value {
    let nothing = || json!({"type": "object", "properties": {}});
    let one = |name: &str| -> Value {
        json!({"type": "object", "properties": {name: {"type": "string"}}, "required": [name]})
    };
    let tool = |name: &str, description: &str, schema: Value| -> Value {
        json!({"name": name, "description": description, "inputSchema": schema})
    };
    let mut tools = vec![
        tool("test_simple_text", "Gives a text.", nothing()),
        tool("test_image_content", "Gives an image.", nothing()),
        tool("test_audio_content", "Gives a sound.", nothing()),
        tool("test_embedded_resource", "Gives a resource.", nothing()),
        tool("test_multiple_content_types", "Gives a text, an image and a resource.", nothing()),
        tool("test_tool_with_logging", "Sends three log messages on its way.", nothing()),
        tool("test_tool_with_progress", "Reports its progress three times.", nothing()),
        tool("test_error_handling", "Always fails.", nothing()),
        tool("test_sampling", "Asks the client's model.", one("prompt")),
        tool("test_elicitation", "Asks the client's user.", one("message")),
        tool("test_elicitation_sep1034_defaults", "Asks with default values.", nothing()),
        tool("test_elicitation_sep1330_enums", "Asks with every kind of choice.", nothing()),
        tool(
            "test_reconnection",
            "Ends its stream before it answers; first call of a session.",
            nothing(),
        ),
        tool(
            "json_schema_2020_12_tool",
            "Tool with JSON Schema 2020-12 features",
            schema_2020_12(),
        ),
        tool(
            "test_custom_header",
            "Takes an argument that is a header too.",
            json!({"type": "object", "required": ["region"],
                   "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}),
        ),
        tool("test_missing_capability", "Insists on sampling.", nothing()),
        tool("test_streaming_elicitation", "Asks by its answer, not by a request.", nothing()),
        tool("test_logging_tool", "Logs only what was asked for.", nothing()),
        tool("test_trigger_tool_change", "Says that the list of tools changed.", nothing()),
        tool("test_trigger_prompt_change", "Says that the list of prompts changed.", nothing()),
    ];
    for (name, asks_for) in [
        ("elicitation", "a name"),
        ("sampling", "a model's answer"),
        ("list_roots", "the client's roots"),
        ("request_state", "a confirmation, with a state"),
        ("tampered_state", "a confirmation, with a state that is signed"),
        ("multiple_inputs", "a name, a greeting and the roots"),
        ("multi_round", "one thing after another"),
        ("capabilities", "what the client can do"),
    ] {
        let name = format!("test_input_required_result_{name}");
        tools.push(tool(&name, &format!("Asks by its answer for {asks_for}."), nothing()));
    }
    for (name, description, arguments) in tasks::TOOLS {
        let properties: Map<String, Value> = arguments
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), json!({"type": kind})))
            .collect();
        tools.push(tool(name, description, json!({"type": "object", "properties": properties})));
    }
    json!({"tools": tools})
}

/// The tools as a server's entry of mcpservers.json names them.
pub(crate) fn names() -> Value {
    let all = all();
    let tools = all.get("tools").and_then(Value::as_array).into_iter().flatten();
    tools.map(|tool| json!({"name": tool["name"]})).collect()
}

/// Finds one tool; what it says of its headers is checked by the transport.
pub(crate) fn named(name: &str) -> Option<Tool> {
    let all = all();
    let tool = all.get("tools")?.as_array()?.iter().find(|tool| tool["name"] == name)?;
    serde_json::from_value(tool.clone()).ok()
}

fn schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "addressDef", "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}

/// A result whose contents are these texts.
pub(crate) fn texts<T: Into<String>>(
    said: impl IntoIterator<Item = T>,
) -> Result<CallToolResult, ErrorData> {
    result(&said.into_iter().map(text).collect::<Vec<_>>())
}

fn result(contents: &[Value]) -> Result<CallToolResult, ErrorData> {
    complete(json!({"content": contents}))
}

/// Calls a tool.
pub(crate) async fn call(
    server: &Conformant,
    request: CallToolRequestParams,
    cx: RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let capabilities = cx.client_capabilities();
    if let Some(answer) = input::call(&request, capabilities.as_ref(), server.states()) {
        return answer;
    }
    if let Some(answer) = tasks::call(&request, capabilities.as_ref(), server.tasks()).await {
        return answer;
    }
    let argument = |name: &str| {
        let value = request.arguments.as_ref().and_then(|all| all.get(name));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let called = Called { server, cx: &cx, capabilities };
    let result = match request.name.as_ref() {
        "test_simple_text" => texts(["This is a simple text response for testing."]),
        "test_image_content" => result(&[image()]),
        "test_audio_content" => result(&[audio()]),
        "test_embedded_resource" => result(&[embedded(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content.",
        )]),
        "test_multiple_content_types" => result(&[
            text("Multiple content types test:"),
            image(),
            embedded(
                "test://mixed-content-resource",
                "application/json",
                &json!({"test": "data", "value": 123}).to_string(),
            ),
        ]),
        "test_error_handling" => complete(json!({
            "isError": true,
            "content": [text("This tool intentionally returns an error for testing")],
        })),
        "test_tool_with_logging" | "test_logging_tool" => called.log().await,
        "test_tool_with_progress" => called.progress().await,
        "test_sampling" => called.sample(&argument("prompt")).await,
        "test_elicitation" => {
            called.elicit("User response", &argument("message"), name_and_address()).await
        }
        "test_elicitation_sep1034_defaults" => {
            called.elicit("Elicitation completed", "Please review", defaults()).await
        }
        "test_elicitation_sep1330_enums" => {
            called.elicit("Elicitation completed", "Please choose", choices()).await
        }
        "test_reconnection" => called.reconnect().await,
        "json_schema_2020_12_tool" => {
            texts([Value::from(request.arguments.clone().unwrap_or_default()).to_string()])
        }
        "test_custom_header" => texts([argument("region")]),
        "test_missing_capability" => called.insist_on_sampling(),
        "test_streaming_elicitation" => return input::ask_for_name(),
        "test_trigger_tool_change" => called.announce(Change::Tools).await,
        "test_trigger_prompt_change" => called.announce(Change::Prompts).await,
        other => Err(ErrorData::invalid_params(format!("there is no tool {other:?}"), None)),
    };
    result.map(CallToolResponse::Complete)
}

/// A call of a tool that needs more than its arguments.
struct Called<'a> {
    server: &'a Conformant,
    cx: &'a RequestContext<RoleServer>,
    capabilities: Option<ClientCapabilities>,
}

impl Called<'_> {
    async fn log(&self) -> Result<CallToolResult, ErrorData> {
        for (index, said) in
            ["Tool execution started", "Tool processing data", "Tool execution completed"]
                .into_iter()
                .enumerate()
        {
            if index > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            if self.server.logs_info(self.cx) {
                let message = LoggingMessageNotificationParam::new(LoggingLevel::Info, said.into());
                self.cx
                    .peer
                    .notify_logging_message(message)
                    .await
                    .map_err(|error| unsent(&error))?;
            }
        }
        texts(["Logged what there was to log."])
    }

    async fn progress(&self) -> Result<CallToolResult, ErrorData> {
        for (index, progress) in [0.0, 50.0, 100.0].into_iter().enumerate() {
            if index > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            if let Some(token) = self.cx.meta.get_progress_token() {
                let report = ProgressNotificationParam::new(token, progress).with_total(100.0);
                self.cx.peer.notify_progress(report).await.map_err(|error| unsent(&error))?;
            }
        }
        texts(["Done."])
    }

    async fn sample(&self, prompt: &str) -> Result<CallToolResult, ErrorData> {
        let request = json!({
            "method": "sampling/createMessage",
            "params": {"messages": [{"role": "user", "content": text(prompt)}], "maxTokens": 100},
        });
        let request = ServerRequest::CreateMessageRequest(typed(request)?);
        match self.cx.peer.send_request(request).await.map_err(|error| unsent(&error))? {
            ClientResult::CreateMessageResult(answer) => {
                let answer = serde_json::to_value(&answer.message.content).unwrap_or_default();
                let answer = answer.get("text").and_then(Value::as_str).unwrap_or_default();
                texts([format!("LLM response: {answer}")])
            }
            _ => Err(ErrorData::internal_error("the answer is not one of sampling", None)),
        }
    }

    async fn elicit(
        &self,
        title: &str,
        message: &str,
        schema: Value,
    ) -> Result<CallToolResult, ErrorData> {
        let request = json!({
            "method": "elicitation/create",
            "params": {"mode": "form", "message": message, "requestedSchema": schema},
        });
        let request = ServerRequest::ElicitRequest(typed(request)?);
        match self.cx.peer.send_request(request).await.map_err(|error| unsent(&error))? {
            ClientResult::ElicitResult(answer) => {
                let action = serde_json::to_value(&answer.action).unwrap_or_default();
                let action = action.as_str().unwrap_or_default();
                let content = answer.content.unwrap_or_default();
                texts([format!("{title}: action={action}, content={content}")])
            }
            _ => Err(ErrorData::internal_error("the answer is not one of elicitation", None)),
        }
    }

    fn insist_on_sampling(&self) -> Result<CallToolResult, ErrorData> {
        if self.capabilities.as_ref().is_some_and(|client| client.sampling.is_some()) {
            return texts(["The client can sample."]);
        }
        let required = ClientCapabilities::builder().enable_sampling().build();
        Err(ErrorData::missing_required_client_capability(required))
    }

    /// Closes the stream that the answer would go out on: the client has to come back for it.
    async fn reconnect(&self) -> Result<CallToolResult, ErrorData> {
        self.server.close_first_stream(self.cx).await;
        tokio::time::sleep(ABSENCE).await;
        texts(["The client came back for this."])
    }

    async fn announce(&self, change: Change) -> Result<CallToolResult, ErrorData> {
        // A subscription begins to listen a moment after its client was told that it is there.
        tokio::time::sleep(PAUSE).await;
        self.server.announce(change);
        texts(["Told everyone who listens."])
    }
}

fn unsent(error: &rmcp::ServiceError) -> ErrorData {
    ErrorData::internal_error(format!("the client did not take part: {error}"), None)
}

fn name_and_address() -> Value {
    json!({
        "type": "object",
        "properties": {
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"},
        },
        "required": ["username", "email"],
    })
}

fn defaults() -> Value {
    json!({"type": "object", "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"],
                   "default": "active"},
        "verified": {"type": "boolean", "default": true},
    }})
}

fn choices() -> Value {
    let titled = |ordinals: [&str; 3], kind: &str| {
        let choice = |(index, ordinal): (usize, &str)| -> Value {
            json!({"const": format!("value{}", index + 1), "title": format!("{ordinal} {kind}")})
        };
        ordinals.into_iter().enumerate().map(choice).collect::<Vec<_>>()
    };
    let ordinals = ["First", "Second", "Third"];
    let options = ["option1", "option2", "option3"];
    json!({"type": "object", "properties": {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": titled(ordinals, "Option")},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"],
                       "enumNames": ["Option One", "Option Two", "Option Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled(ordinals, "Choice")}},
    }})
}
