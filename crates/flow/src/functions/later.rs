//! What the language has and a later issue brings: known names, so that a workflow which uses one
//! is left out with a reason instead of being wrong.

use super::Later;

const fn later(group: &'static str, name: &'static str) -> Later {
    Later { name, group }
}

pub(crate) static LATER: &[Later] = &[
    later("Date and time", "addDays"),
    later("Date and time", "addHours"),
    later("Date and time", "addMinutes"),
    later("Date and time", "addSeconds"),
    later("Date and time", "addToTime"),
    later("Date and time", "convertFromUtc"),
    later("Date and time", "convertTimeZone"),
    later("Date and time", "convertToUtc"),
    later("Date and time", "dateDifference"),
    later("Date and time", "dayOfMonth"),
    later("Date and time", "dayOfWeek"),
    later("Date and time", "dayOfYear"),
    later("Date and time", "formatDateTime"),
    later("Date and time", "formatTimeSpan"),
    later("Date and time", "getFutureTime"),
    later("Date and time", "getPastTime"),
    later("Date and time", "parseDateTime"),
    later("Date and time", "startOfDay"),
    later("Date and time", "startOfHour"),
    later("Date and time", "startOfMonth"),
    later("Date and time", "subtractFromTime"),
    later("Date and time", "ticks"),
    later("XML", "xml"),
    later("XML", "xpath"),
    later("Referencing", "action"),
    later("Referencing", "agentParameters"),
    later("Referencing", "assistantMessage"),
    later("Referencing", "formDataMultiValues"),
    later("Referencing", "formDataValue"),
    later("Referencing", "items"),
    later("Referencing", "iterationIndexes"),
    later("Referencing", "listCallbackUrl"),
    later("Referencing", "multipartBody"),
    later("Referencing", "triggerFormDataMultiValues"),
    later("Referencing", "triggerFormDataValue"),
    later("Referencing", "triggerMultipartBody"),
];
