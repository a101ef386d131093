//! Apps that were deployed, as this replica's configuration allows them.

use std::sync::Arc;

use app::{Allowed, App, Files, INPUT_VARIABLE, Surroundings};
use store::AppMaker;
use url::Url;

use crate::config::{AppLimits, DataPlane, Environment, is_loopback};
use crate::source;

/// Makes apps of files that somebody sent, and who has no business on this machine.
#[derive(Debug)]
pub(crate) struct Maker {
    environment: Arc<Environment>,
    limits: AppLimits,
    is_exposed: bool,
    lets_in_everyone: bool,
}

impl Maker {
    pub(crate) fn new(
        environment: &Environment,
        limits: &AppLimits,
        data_plane: &DataPlane,
    ) -> Self {
        Self {
            environment: Arc::new(environment.clone()),
            limits: limits.clone(),
            is_exposed: data_plane.is_exposed(),
            lets_in_everyone: data_plane.allow_anonymous_off_loopback,
        }
    }

    fn surroundings(&self) -> Surroundings {
        let AppLimits { commands, command_variables, variables, app_settings } = &self.limits;
        let mut settings = self.environment.app_settings();
        settings.retain(|name, _| app_settings.contains(name));
        let mut values = self.environment.variables();
        values.retain(|name, _| variables.contains(name));
        let is_wanted = |key: &str| variables.contains(&format!("{INPUT_VARIABLE}{key}"));
        Surroundings {
            settings,
            variables: values,
            inputs: source::inputs(&self.environment, is_wanted),
            folder: None,
            home: source::home(&self.environment),
            allowed: Some(Allowed {
                commands: commands.clone(),
                command_variables: command_variables.clone(),
                variables: variables.clone(),
            }),
        }
    }
}

impl AppMaker for Maker {
    fn make(&self, files: &Files, public_url: &Url) -> Result<App, Vec<String>> {
        let app = App::from_files_in(files, &self.surroundings())
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let is_exposed = self.is_exposed || !is_loopback(public_url);
        if app.authentication().accepts_everyone() && is_exposed && !self.lets_in_everyone {
            return Err(vec![
                "host.json: the authentication type is Anonymous, and the app can be reached from beyond \
                 this machine: set it to ApiKey, or start every replica with \
                 --allow-anonymous-off-loopback to let everyone in"
                    .to_owned(),
            ]);
        }
        Ok(app)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const HOST: &str = r#"{"extensions": {"workflow": {"McpServerEndpoints":
        {"enable": true, "authentication": {"type": "Anonymous"}}}}}"#;

    fn maker(limits: AppLimits) -> Maker {
        let environment = Environment::from([
            ("APPSETTING_A", "1"),
            ("APPSETTING_B", "2"),
            ("TOKEN", "t"),
            ("OTHER", "o"),
            ("KEYWARD_INPUT_ID", "i"),
            ("KEYWARD_INPUT_OTHER", "j"),
        ]);
        let environment = Arc::new(environment);
        Maker { environment, limits, is_exposed: false, lets_in_everyone: false }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn an_app_is_given_what_is_named_and_nothing_else() {
        let nothing = maker(AppLimits::default()).surroundings();
        assert!(nothing.settings.is_empty() && nothing.variables.is_empty());
        assert!(nothing.inputs.is_empty() && nothing.folder.is_none());
        assert_eq!(nothing.allowed, Some(Allowed::default()));
        let limits = AppLimits {
            commands: set(&["npx"]),
            command_variables: set(&["REGION"]),
            variables: set(&["TOKEN", "KEYWARD_INPUT_ID"]),
            app_settings: set(&["A", "NONE"]),
        };
        let some = maker(limits).surroundings();
        assert_eq!(some.settings.keys().collect::<Vec<_>>(), ["A"]);
        assert_eq!(some.variables.keys().collect::<Vec<_>>(), ["TOKEN"]);
        assert_eq!(some.inputs.keys().collect::<Vec<_>>(), ["ID"]);
        let allowed = some.allowed.unwrap();
        assert!(allowed.commands.contains("npx") && allowed.command_variables.contains("REGION"));
    }

    #[test]
    fn everyone_is_let_in_on_this_machine_alone() {
        let mut files = Files::new();
        files.insert("host.json", HOST).unwrap();
        let near: Url = "http://127.0.0.1:7071/a".parse().unwrap();
        let far: Url = "https://tools.example.com/a".parse().unwrap();
        let maker = maker(AppLimits::default());
        assert!(maker.make(&files, &near).is_ok());
        let refused = maker.make(&files, &far).unwrap_err();
        assert!(refused[0].contains("--allow-anonymous-off-loopback"), "{refused:?}");
        let exposed = Maker { is_exposed: true, ..maker };
        assert!(exposed.make(&files, &near).is_err());
        let told = Maker { lets_in_everyone: true, ..exposed };
        assert!(told.make(&files, &far).is_ok());
    }
}
