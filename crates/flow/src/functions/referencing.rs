//! What the run has: the trigger, actions, variables, parameters, settings.

use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::Function;
use crate::expression::{ActionNames, Call, Fault, Val, property};

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "actions",
        parameters: "action",
        least: 1,
        most: Some(1),
        doc: "The action's `name`, `inputs`, `outputs`, `status`, `code` and `error`.",
        body: actions,
    },
    Function {
        name: "actionBody",
        parameters: "action",
        least: 1,
        most: Some(1),
        doc: "The same as `body`.",
        body: body_of_action,
    },
    Function {
        name: "actionOutputs",
        parameters: "action",
        least: 1,
        most: Some(1),
        doc: "The same as `outputs`.",
        body: outputs,
    },
    Function {
        name: "appsetting",
        parameters: "name",
        least: 1,
        most: Some(1),
        doc: "An app setting: a value of local.settings.json or of the environment.",
        body: appsetting,
    },
    Function {
        name: "body",
        parameters: "action",
        least: 1,
        most: Some(1),
        doc: "The `body` of the action's outputs; null if they have none.",
        body: body_of_action,
    },
    Function {
        name: "item",
        parameters: "",
        least: 0,
        most: Some(0),
        doc: "The element at hand, in an action that goes through an array.",
        body: item,
    },
    Function {
        name: "outputs",
        parameters: "action",
        least: 1,
        most: Some(1),
        doc: "The action's outputs; null if it has not ended or was skipped.",
        body: outputs,
    },
    Function {
        name: "parameters",
        parameters: "name",
        least: 1,
        most: Some(1),
        doc: "A parameter: its value in parameters.json, else the definition's default.",
        body: parameters,
    },
    Function {
        name: "result",
        parameters: "scope",
        least: 1,
        most: Some(1),
        doc: "The actions directly within a scope, as `actions` gives each.",
        body: result,
    },
    Function {
        name: "trigger",
        parameters: "",
        least: 0,
        most: Some(0),
        doc: "The trigger's `name` and `outputs`.",
        body: trigger,
    },
    Function {
        name: "triggerBody",
        parameters: "",
        least: 0,
        most: Some(0),
        doc: "The body that the workflow was called with: a tool call's arguments.",
        body: trigger_body,
    },
    Function {
        name: "triggerOutputs",
        parameters: "",
        least: 0,
        most: Some(0),
        doc: "The trigger's outputs, an object with `body`.",
        body: trigger_outputs,
    },
    Function {
        name: "utcNow",
        parameters: "",
        least: 0,
        most: Some(1),
        doc: "The time, as `2026-01-01T00:00:00.0000000Z`. (A format as its argument comes later.)",
        body: utc_now,
    },
    Function {
        name: "variables",
        parameters: "name",
        least: 1,
        most: Some(1),
        doc: "A variable's value.",
        body: variables,
    },
    Function {
        name: "workflow",
        parameters: "",
        least: 0,
        most: Some(0),
        doc: "The workflow's `name`, `id` and `type`, and the run's `name` and `id` under `run`.",
        body: workflow,
    },
];

fn named<'a>(call: &Call<'a>) -> Result<ActionNames<'a>, Fault> {
    let name = call.string(0)?;
    call.names()
        .action(name)
        .ok_or_else(|| call.fault(0, format!("finds no action named '{name}'")))
}

fn record(call: &Call<'_>, action: ActionNames<'_>) -> Result<Value, Fault> {
    let mut record = Map::new();
    let mut put = |name: &str, value: Value| record.insert(name.to_owned(), value);
    put("name", action.name.into());
    for (name, part) in [("inputs", action.inputs), ("outputs", action.outputs)] {
        if let Some(part) = part {
            put(name, Val::Ref(part).into_value(call.budget())?);
        }
    }
    if let Some(code) = action.code {
        put("code", code.into());
    }
    if let Some(status) = action.status {
        put("status", status.into());
    }
    if let Some((code, message)) = action.error {
        put("error", json!({ "code": code, "message": message }));
    }
    Ok(Value::Object(record))
}

fn actions<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let action = named(call)?;
    record(call, action).map(Val::Own)
}

fn outputs<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(named(call)?.outputs.map_or(Val::null(), Val::Ref))
}

fn body_of_action<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let body =
        named(call)?.outputs.and_then(Value::as_object).and_then(|all| property(all, "body"));
    Ok(body.map_or(Val::null(), Val::Ref))
}

fn result<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let scope = call.string(0)?;
    let Some(within) = call.names().within(scope) else {
        return Err(call.fault(0, format!("finds no scope named '{scope}'")));
    };
    let records: Result<Vec<Value>, Fault> =
        within.into_iter().map(|action| record(call, action)).collect();
    Ok(Val::array(records?))
}

fn variables<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let name = call.string(0)?;
    match call.names().variable(name) {
        Some(value) => Ok(Val::Ref(value)),
        None => Err(call.fault(0, format!("finds no variable named '{name}'"))),
    }
}

fn parameters<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let name = call.string(0)?;
    match call.names().parameter(name) {
        Some(value) => Ok(Val::Ref(value)),
        None => Err(call.fault(
            0,
            format!(
                "finds no parameter '{name}' in parameters.json, nor a default in the definition"
            ),
        )),
    }
}

fn appsetting<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let name = call.string(0)?;
    match call.names().app_setting(name) {
        Some(value) => Ok(Val::text(value)),
        None => Err(call.fault(0, format!("finds no app setting '{name}'"))),
    }
}

fn item<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    match call.names().item() {
        Some(value) => Ok(Val::Ref(value)),
        None => Err(call.fault(0, "has a value only in an action that goes through an array")),
    }
}

fn trigger<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(Val::Ref(call.names().trigger()))
}

fn trigger_outputs<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(call.names().trigger().get("outputs").map_or(Val::null(), Val::Ref))
}

fn trigger_body<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    Ok(call.names().trigger().pointer("/outputs/body").map_or(Val::null(), Val::Ref))
}

fn utc_now<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    if call.has(0) {
        return Err(call.fault(0, "does not take a format here yet"));
    }
    let since = call.names().now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = OffsetDateTime::UNIX_EPOCH + since;
    Ok(Val::text(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:07}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.nanosecond() / 100
    )))
}

fn workflow<'a>(call: &mut Call<'a>) -> Result<Val<'a>, Fault> {
    let name = call.names().workflow_name();
    let run = call.names().run_id();
    Ok(Val::Own(json!({
        "id": format!("/workflows/{name}"),
        "name": name,
        "type": "Microsoft.Web/sites/workflows",
        "run": {
            "id": format!("/workflows/{name}/runs/{run}"),
            "name": run,
            "type": "Microsoft.Web/sites/workflows/runs",
        },
    })))
}
