use keys::{OperatorToken, SysRng};
use sqlx::{Any, Transaction};

use crate::{Error, Result, Store};

impl Store {
    /// Gives the token of the operator `name` that holds on every replica: the one that is kept, or `own`
    /// from now on. None where operators' tokens lie in the data folder alone, on the embedded store.
    ///
    /// # Errors
    /// [`Error::Token`] where no configured master key opens it; [`Error::Database`];
    /// [`Error::OutcomeUnknown`].
    pub async fn shared_operator_token(
        &self,
        name: &str,
        own: &OperatorToken,
    ) -> Result<Option<OperatorToken>> {
        if !self.keeps_operators() {
            return Ok(None);
        }
        // An attempt finds what an earlier one left.
        self.retried(|_| async move {
            let (tx, token) = self.in_time(self.find_or_write_token(name, own)).await?;
            if let Some(tx) = tx {
                self.commit(tx).await?;
            }
            Ok(Some(token))
        })
        .await
    }

    async fn find_or_write_token(
        &self,
        name: &str,
        own: &OperatorToken,
    ) -> Result<(Option<Transaction<'static, Any>>, OperatorToken)> {
        let mut tx = self.begin_change().await?;
        let found: Option<(Vec<u8>,)> =
            sqlx::query_as("SELECT sealed FROM operator_tokens WHERE name = $1")
                .bind(name.to_owned())
                .fetch_optional(&mut *tx)
                .await?;
        if let Some((sealed,)) = found {
            let token = self.masters.open_operator_token(&sealed, name).map_err(Error::Token)?;
            return Ok((None, token));
        }
        let sealed =
            self.masters.seal_operator_token(&mut SysRng, own, name).map_err(Error::Key)?;
        sqlx::query("INSERT INTO operator_tokens (name, sealed, created_at) VALUES ($1, $2, $3)")
            .bind(name.to_owned())
            .bind(sealed.clone())
            .bind(self.clock.now().unix_ms())
            .execute(&mut *tx)
            .await?;
        let token = self.masters.open_operator_token(&sealed, name).map_err(Error::Token)?;
        Ok((Some(tx), token))
    }
}
