use url::form_urlencoded;

use crate::error::{Error, Quoted, Result};

/// The parameters of a query. Names compare without regard to case, and `$top` is `top`; what no
/// operation knows is left alone, since clients of Azure add parameters of their own.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Gives the value of a parameter that comes at most once.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>> {
        let mut values = self.0.iter().filter(|(one, _)| is(one, name)).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (_, Some(_)) => {
                let why = "comes more than once: give it once".to_owned();
                Err(Error::InvalidQuery { name, why })
            }
            (value, None) => Ok(value.map(String::as_str)),
        }
    }

    /// Reads `true` or `false`, in any case; false if there is none.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool> {
        match self.one(name)? {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
            Some(value) => Err(Error::InvalidQuery {
                name,
                why: format!("is {}: expected true or false", Quoted(value)),
            }),
        }
    }

    /// Reads what parses, and says what was expected of what does not.
    pub(super) fn parsed<T>(
        &self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.one(name)? else { return Ok(None) };
        parse(value).map(Some).ok_or_else(|| Error::InvalidQuery {
            name,
            why: format!("is {}: expected {expected}", Quoted(value)),
        })
    }

    /// Gives the parameters with one of them replaced.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        let kept = self.0.iter().filter(|(one, _)| !is(one, name));
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .append_pair(name, value)
            .finish()
    }
}

fn is(given: &str, name: &str) -> bool {
    let bare = |text: &'_ str| text.strip_prefix('$').unwrap_or(text).to_ascii_lowercase();
    bare(given) == bare(name)
}
