/// What a setting's value is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// `true` or `false`.
    Flag,
    /// A list of strings.
    Texts,
    /// A whole number that is not negative.
    Count,
}

/// One thing that an operator can choose.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its name in the file, after its section.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The flag of `keyward serve`, if it has one.
    pub(crate) flag: Option<&'static str>,
    /// The environment variable, if it has one.
    pub(crate) variable: Option<&'static str>,
    /// What holds if nothing is said, in words or as in the file.
    pub(crate) default: &'static str,
    /// The value of the example, as in the file.
    pub(crate) example: &'static str,
    /// What it means.
    pub(crate) meaning: &'static str,
}

/// A variable that is no setting of the file.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
}

/// The names of the settings.
pub(crate) mod names {
    pub(crate) const LISTEN: &str = "data_plane.listen";
    pub(crate) const PUBLIC_URL: &str = "data_plane.public_url";
    pub(crate) const BEHIND_TLS_PROXY: &str = "data_plane.behind_tls_proxy";
    pub(crate) const ALLOW_ANONYMOUS: &str = "data_plane.allow_anonymous_off_loopback";
    pub(crate) const MANAGE_LISTEN: &str = "management.listen";
    pub(crate) const MANAGE_OFF_LOOPBACK: &str = "management.off_loopback";
    pub(crate) const MANAGE_PUBLIC_URL: &str = "management.public_url";
    pub(crate) const ALLOWED_HOSTS: &str = "management.allowed_hosts";
    pub(crate) const SUBSCRIPTION: &str = "management.subscription";
    pub(crate) const RESOURCE_GROUP: &str = "management.resource_group";
    pub(crate) const MAX_KEY_LIFETIME: &str = "management.max_key_lifetime";
    pub(crate) const APP_NAME: &str = "app_name";
    pub(crate) const DATA_DIR: &str = "data_dir";
    pub(crate) const MASTER_KEY_FILES: &str = "master_key_files";
    pub(crate) const SHUTDOWN_DRAIN: &str = "shutdown_drain";
    pub(crate) const SHUTDOWN_GRACE: &str = "shutdown_grace";
    pub(crate) const STORE_URL: &str = "store.url";
    pub(crate) const STORE_PASSWORD_FILE: &str = "store.password_file";
    pub(crate) const STORE_MAX_CONNECTIONS: &str = "store.max_connections";
    pub(crate) const STORE_LEASE_S: &str = "store.lease_s";
    pub(crate) const STORE_REPLICA_NAME: &str = "store.replica_name";
    pub(crate) const APPS_COMMANDS: &str = "apps.commands";
    pub(crate) const APPS_COMMAND_VARIABLES: &str = "apps.command_variables";
    pub(crate) const APPS_VARIABLES: &str = "apps.variables";
    pub(crate) const APPS_APP_SETTINGS: &str = "apps.app_settings";
    pub(crate) const LOG_FILTER: &str = "log.filter";
    pub(crate) const LOG_FORMAT: &str = "log.format";
}

/// Every setting, in the order of the reference page.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        name: names::APP_NAME,
        kind: Kind::Text,
        flag: Some("--app-name"),
        variable: Some("KEYWARD_APP_NAME"),
        default: "the name of the app folder; `mcp` with --mcp-json",
        example: "\"helpdesk\"",
        meaning: "The app's name: 1 to 60 letters, digits or -. It stands in paths of the management \
                  plane. Access keys belong to it: under another name the app gets new ones.",
    },
    Setting {
        name: names::DATA_DIR,
        kind: Kind::Text,
        flag: Some("--data-dir"),
        variable: Some("KEYWARD_DATA_DIR"),
        default: "`.keyward` in the app folder, or beside the file of --mcp-json",
        example: "\"/var/lib/keyward\"",
        meaning: "The data folder: the database, the master key and the operator token. It is made \
                  with mode 0700, and refused if others can read it.",
    },
    Setting {
        name: names::MASTER_KEY_FILES,
        kind: Kind::Texts,
        flag: Some("--master-key-file"),
        variable: None,
        default: "`master-key` in the data folder, made at first start",
        example: "[\"/etc/keyward/master-key\", \"/etc/keyward/master-key-of-last-year\"]",
        meaning: "Files with a master key each, beginning with kwm1_. The first seals access keys, \
                  all open them.",
    },
    Setting {
        name: names::SHUTDOWN_DRAIN,
        kind: Kind::Text,
        flag: Some("--shutdown-drain"),
        variable: Some("KEYWARD_SHUTDOWN_DRAIN"),
        default: "\"0s\"",
        example: "\"5s\"",
        meaning: "How long the process goes on serving after SIGTERM or SIGINT while /readyz fails, so \
                  that a load balancer stops sending requests before they are refused. A second signal \
                  ends the process at once.",
    },
    Setting {
        name: names::SHUTDOWN_GRACE,
        kind: Kind::Text,
        flag: Some("--shutdown-grace"),
        variable: Some("KEYWARD_SHUTDOWN_GRACE"),
        default: "\"10s\"",
        example: "\"30s\"",
        meaning: "How long requests may take to end after SIGTERM or SIGINT, and shutdown_drain where \
                  that is set; what is open after that is cut. A second signal ends the process at once.",
    },
    Setting {
        name: names::LISTEN,
        kind: Kind::Text,
        flag: Some("--listen"),
        variable: Some("KEYWARD_LISTEN"),
        default: "\"127.0.0.1:7071\"",
        example: "\"127.0.0.1:7071\"",
        meaning: "The address that MCP clients connect to. Port 0 takes a free one.",
    },
    Setting {
        name: names::PUBLIC_URL,
        kind: Kind::Text,
        flag: Some("--public-url"),
        variable: Some("KEYWARD_PUBLIC_URL"),
        default: "the address that is listened on, as an http URL",
        example: "\"https://tools.example.com\"",
        meaning: "Where MCP clients reach the app. It decides which Host is answered and stands in \
                  every URL that is printed; it may end in a path.",
    },
    Setting {
        name: names::BEHIND_TLS_PROXY,
        kind: Kind::Flag,
        flag: Some("--behind-tls-proxy"),
        variable: Some("KEYWARD_BEHIND_TLS_PROXY"),
        default: "false",
        example: "false",
        meaning: "The word that a proxy in front does TLS. Without it neither listener takes an \
                  address beyond this machine, since keys would cross the network readably.",
    },
    Setting {
        name: names::ALLOW_ANONYMOUS,
        kind: Kind::Flag,
        flag: Some("--allow-anonymous-off-loopback"),
        variable: None,
        default: "false",
        example: "false",
        meaning: "Serve an app whose authentication type is Anonymous to everyone who reaches the \
                  address or the public URL, from beyond this machine too.",
    },
    Setting {
        name: names::MANAGE_LISTEN,
        kind: Kind::Text,
        flag: Some("--manage-listen"),
        variable: Some("KEYWARD_MANAGE_LISTEN"),
        default: "\"127.0.0.1:7072\"",
        example: "\"127.0.0.1:7072\"",
        meaning: "The address that operators and their tools connect to. Port 0 takes a free one.",
    },
    Setting {
        name: names::MANAGE_OFF_LOOPBACK,
        kind: Kind::Flag,
        flag: Some("--manage-off-loopback"),
        variable: None,
        default: "false",
        example: "false",
        meaning: "The word that the management listener may take an address beyond this machine.",
    },
    Setting {
        name: names::MANAGE_PUBLIC_URL,
        kind: Kind::Text,
        flag: None,
        variable: None,
        default: "the host that a request names",
        example: "\"https://keyward.example.com\"",
        meaning: "Where operators reach the management listener through a proxy. Its host is answered, \
                  and links from one page of a list to the next begin with it.",
    },
    Setting {
        name: names::ALLOWED_HOSTS,
        kind: Kind::Texts,
        flag: None,
        variable: None,
        default: "[]",
        example: "[\"keyward.internal\"]",
        meaning: "Names in the Host header that the management listener answers besides those of \
                  the loopback interface, without a port.",
    },
    Setting {
        name: names::SUBSCRIPTION,
        kind: Kind::Text,
        flag: None,
        variable: None,
        default: "any",
        example: "\"00000000-0000-0000-0000-000000000000\"",
        meaning: "The only subscription that paths of Azure Resource Manager may name.",
    },
    Setting {
        name: names::RESOURCE_GROUP,
        kind: Kind::Text,
        flag: None,
        variable: None,
        default: "any",
        example: "\"tools\"",
        meaning: "The only resource group that paths of Azure Resource Manager may name.",
    },
    Setting {
        name: names::MAX_KEY_LIFETIME,
        kind: Kind::Text,
        flag: None,
        variable: None,
        default: "none",
        example: "\"90d\"",
        meaning: "The longest that an API key may live, which also forbids keys that never expire.",
    },
    Setting {
        name: names::STORE_URL,
        kind: Kind::Text,
        flag: Some("--store-url"),
        variable: Some("KEYWARD_STORE_URL"),
        default: "the embedded database in the data folder",
        example: "\"postgres://keyward@db.example.com/keyward?sslmode=verify-full\"",
        meaning: "The PostgreSQL database (14 or later) that keys are kept in, with sslmode and the other \
                  parameters of libpq that docs/operate.md lists. Master keys must be given with it. A \
                  password in it is never shown; the flag takes none, since other processes can see it.",
    },
    Setting {
        name: names::STORE_PASSWORD_FILE,
        kind: Kind::Text,
        flag: None,
        variable: Some("KEYWARD_STORE_PASSWORD_FILE"),
        default: "none",
        example: "\"/etc/keyward/database-password\"",
        meaning: "A file with the password of the database's user, which others than its owner and group \
                  cannot read.",
    },
    Setting {
        name: names::STORE_MAX_CONNECTIONS,
        kind: Kind::Count,
        flag: None,
        variable: Some("KEYWARD_STORE_MAX_CONNECTIONS"),
        default: "10",
        example: "10",
        meaning: "The most connections of the pool to PostgreSQL, from 2 on. Outside it are up to 6 \
                  more, and another one while the process starts or a backup is taken.",
    },
    Setting {
        name: names::STORE_LEASE_S,
        kind: Kind::Count,
        flag: None,
        variable: Some("KEYWARD_STORE_LEASE_S"),
        default: "10",
        example: "10",
        meaning: "The lease in seconds, from 1 to 300: how long a replica goes on that has lost the \
                  database, and how long a regeneration or revocation waits for a replica that is gone. \
                  All replicas of a database should have the same.",
    },
    Setting {
        name: names::STORE_REPLICA_NAME,
        kind: Kind::Text,
        flag: None,
        variable: Some("KEYWARD_STORE_REPLICA_NAME"),
        default: "the machine's name",
        example: "\"keyward-1\"",
        meaning: "What this replica is called where replicas are listed or waited for, at most 64 \
                  characters. Nothing is decided by it.",
    },
    Setting {
        name: names::APPS_COMMANDS,
        kind: Kind::Texts,
        flag: None,
        variable: None,
        default: "[]",
        example: "[\"/opt/tools/search-server\"]",
        meaning: "The programs that deployed apps may run, exactly as mcp.json names them \
                  (docs/deploy.md). Their arguments are the app's: name a program only if any arguments \
                  to it are fine.",
    },
    Setting {
        name: names::APPS_COMMAND_VARIABLES,
        kind: Kind::Texts,
        flag: None,
        variable: None,
        default: "[]",
        example: "[\"SEARCH_REGION\"]",
        meaning: "The variables that mcp.json of deployed apps may set in env, for any of these programs. \
                  Some have a program run others, as PATH, LD_PRELOAD, BASH_ENV and NODE_OPTIONS do \
                  (docs/deploy.md).",
    },
    Setting {
        name: names::APPS_VARIABLES,
        kind: Kind::Texts,
        flag: None,
        variable: None,
        default: "[]",
        example: "[\"SEARCH_TOKEN\", \"KEYWARD_INPUT_GITHUB\"]",
        meaning: "The variables of the process that mcp.json of deployed apps may name as ${env:NAME}, and \
                  inputs by their variables.",
    },
    Setting {
        name: names::APPS_APP_SETTINGS,
        kind: Kind::Texts,
        flag: None,
        variable: None,
        default: "[]",
        example: "[\"ORDERS_URL\"]",
        meaning: "The app settings of the process, each given as APPSETTING_NAME, that workflows of deployed \
                  apps may read.",
    },
    Setting {
        name: names::LOG_FILTER,
        kind: Kind::Text,
        flag: Some("--log"),
        variable: Some("KEYWARD_LOG"),
        default: "\"info\"",
        example: "\"info,gateway=debug\"",
        meaning: "What is logged: error, warn, info, debug or trace, and different ones for the parts \
                  keyward, gateway, manage, store, app and flow. Other programs' parts log errors \
                  only, whatever is said here, since some of them log headers.",
    },
    Setting {
        name: names::LOG_FORMAT,
        kind: Kind::Text,
        flag: Some("--log-format"),
        variable: Some("KEYWARD_LOG_FORMAT"),
        default: "\"text\"",
        example: "\"json\"",
        meaning: "How a log line looks on standard error: text or json.",
    },
];

/// Every variable that is no setting of the file.
pub(crate) const VARIABLES: &[Variable] = &[
    Variable { name: "KEYWARD_CONFIG", meaning: "The configuration file, as --config." },
    Variable {
        name: "KEYWARD_MASTER_KEY",
        meaning: "The master keys themselves, separated by white space, in place of files. The first \
                  seals access keys, all open them.",
    },
    Variable {
        name: "KEYWARD_MANAGE_URL",
        meaning: "Where commands reach the management listener, as --manage-url.",
    },
    Variable {
        name: "KEYWARD_TOKEN",
        meaning: "The operator token that commands call with, in place of the data folder's.",
    },
    Variable {
        name: "KEYWARD_INPUT_ID",
        meaning: "The input of mcp.json with that id, in upper case and with _ for all but letters and \
                  digits. KEYWARD_INPUT_ID_FILE names a file that holds it.",
    },
    Variable {
        name: "APPSETTING_NAME",
        meaning: "The app setting NAME, which wins over local.settings.json. No other variable can \
                  be read by a workflow.",
    },
    Variable {
        name: "NO_COLOR",
        meaning: "If not empty, the log has no colours on a terminal either.",
    },
];
