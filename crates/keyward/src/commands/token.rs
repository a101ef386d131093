use crate::arguments::DataDirArgument;
use crate::client::{self, Surroundings};
use crate::error::Result;
use crate::output;

/// Prints the operator token: the one place that shows it.
pub(crate) fn print(argument: &DataDirArgument, around: &Surroundings<'_>) -> Result<()> {
    let data_dir = client::find_data_dir(argument.data_dir.as_ref(), around)?;
    let token = data_dir.operator_token()?.ok_or_else(|| client::no_token(&data_dir))?;
    output::print(token.expose())
}
