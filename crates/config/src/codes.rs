//! The catalogue of diagnostic codes: what each means, and what to do, as `tidegate explain CODE` prints it.
//!
//! A code is never reused for another meaning. Tests hold that every code is explained and that none stands twice.

use std::fmt;

/// A diagnostic code such as `TG0217`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

impl Code {
    /// The code that `text` names, in upper or lower case; `None` where there is none such.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("TG").or_else(|| text.strip_prefix("tg"))?;
        let number: u16 = digits.parse().ok()?;
        (digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then_some(Self(number))
            .filter(|code| code.entry().is_some())
    }

    /// The code's title: what is wrong, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.entry().map_or("", |entry| entry.1)
    }

    /// Why it is wrong and what to do, in a paragraph.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        self.entry().map_or("", |entry| entry.2)
    }

    fn entry(self) -> Option<&'static (Self, &'static str, &'static str)> {
        CATALOGUE.iter().find(|entry| entry.0 == self)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TG{:04}", self.0)
    }
}

/// Every code there is, in order.
pub fn all() -> impl Iterator<Item = Code> {
    CATALOGUE.iter().map(|entry| entry.0)
}

macro_rules! catalogue {
    ($($name:ident = $number:literal, $title:literal, $text:literal;)*) => {
        $(
            #[doc = $title]
            pub const $name: Code = Code($number);
        )*
        const CATALOGUE: &[(Code, &str, &str)] = &[$((Code($number), $title, $text)),*];
    };
}

catalogue! {
    UNREADABLE = 101, "a file cannot be read",
        "The file or folder given with `-c` must exist, be readable by the user that runs tidegate, and hold UTF-8 text. In a folder, files ending in .yaml, .yml and .json directly inside it are read; hidden files are not.";
    TOO_LARGE = 102, "a file is too large",
        "A configuration file may have 4 MiB, a folder 256 files, and a file 200,000 values. Split what is larger, or keep objects such as keys in the store with `tidegate key create`.";
    SYNTAX = 103, "the text is not valid YAML",
        "The configuration is YAML 1.2; JSON is accepted as it is. Common causes: a tab used for indentation, a missing `:` or closing bracket, a value that starts with `@`, `*`, `&`, `%` or a backtick and needs quotes, or lines of one list that are indented differently.";
    DUPLICATE = 104, "a name stands twice",
        "A name may stand once in a mapping: with two, it would be a guess which one counts. Remove one, or give one of them another name.";
    ALIASES = 105, "anchors and aliases expand to too much",
        "YAML anchors (`&name`) and aliases (`*name`) are allowed within bounds: 1,000 aliases that expand to 20,000 values. A text that expands further is refused before it takes memory.";
    TOO_DEEP = 106, "the text is nested too deeply",
        "No configuration needs more than 32 levels. A route tree that is deeper is better written as several named models.";
    DOCUMENTS = 108, "the file holds several YAML documents",
        "A file holds one document: remove the `---` line between them. To split a configuration, use a folder with several files.";
    EMPTY = 109, "the configuration is empty",
        "A configuration starts with `version: 1`. `tidegate init` writes one from what it finds on this machine.";
    CONFLICT = 110, "two files define the same thing",
        "Files of a folder are merged: sections such as `models` may be spread over files, but each object and each single setting has one place. Remove one of the two.";
    MERGE_KEY = 111, "`<<` is not part of YAML 1.2",
        "Merge keys were dropped from YAML, and what they would override is easy to misread. Repeat the fields, or refer to a named object.";
    TAG = 112, "a YAML tag is not allowed",
        "Tags such as `!!binary` or `!secret` have no meaning here. Write the plain value, or a reference such as `env:NAME`.";
    UNKNOWN_FIELD = 201, "a field is not known",
        "Unknown fields are errors, since a misspelt setting that is ignored is worse than none. `tidegate explain PATH` lists the fields at a place; editors complete them with the JSON Schema that `tidegate schema` prints.";
    WRONG_TYPE = 202, "a value has the wrong type",
        "The value is of another kind than the field takes. Text that looks like a number or true/false needs quotes; `yes`, `no`, `on` and `off` are texts in YAML 1.2, so write `true` or `false`.";
    MISSING_FIELD = 203, "a required field is missing",
        "The object needs this field. `tidegate explain PATH` shows what it means and an example.";
    NOT_SUPPORTED = 204, "a field is not supported yet",
        "The field belongs to the configuration's language, but this version of tidegate does not act on it. It is an error and not ignored, so that nothing is trusted that does not happen. Remove it.";
    BAD_CHOICE = 205, "a value is none of the choices",
        "The field takes one of a few words. The hint lists them.";
    VERSION = 206, "the configuration's version is not known",
        "`version: 1` is the only version there is. It stands at the top so that later versions can be told apart.";
    BAD_NAME = 207, "a name cannot be used",
        "Names have 1 to 64 characters, letters, digits, `.`, `_`, `-` and, for models, `:`; they start with a letter or digit. Provider names and aliases hold no `/`, since `/` parts provider and model, and MCP server names no `__`, since it parts server and tool.";
    EMPTY_LIST = 208, "a list is empty",
        "This list needs at least one entry to mean anything.";
    OUT_OF_RANGE = 209, "a number is out of range",
        "The number is outside the bounds that the field takes. The message names them.";
    BAD_DURATION = 210, "a duration cannot be read",
        "A duration is a whole number and a unit: `ms`, `s`, `m`, `h` or `d`; for example `500ms`, `30s`, `10m`, `12h`, `30d`.";
    BAD_SIZE = 211, "a size cannot be read",
        "A size is a whole number and a unit: `B`, `KiB`, `MiB` or `GiB`; for example `32MiB`.";
    BAD_BUDGET = 212, "a budget cannot be read",
        "A budget is an amount of US dollars and a period: `10 usd/month`, `0.50 usd/day`, `500 usd/total`.";
    BAD_RATE = 213, "a rate cannot be read",
        "A rate is a whole number and a unit of time: `600/min`, `20/s`, `5000/hour`.";
    BAD_PRICE = 214, "a price cannot be read",
        "A price is an amount of US dollars for a million tokens: `0.15 usd/mtok`.";
    BAD_URL = 215, "a URL cannot be used",
        "The URL must be absolute, with `http` or `https`, without user, password, query or fragment. Credentials go into `key` as a reference.";
    BAD_TARGET = 216, "a target is not `provider/model`",
        "A target names a provider and a model at it, parted by the first `/`: `openai/gpt-5.2`. The name of another model (alias) is accepted too.";
    NO_PROVIDER = 217, "a provider is not defined",
        "The name before the `/` must stand under `providers`. Names are checked when the configuration is loaded, not when a call comes in.";
    NO_MODEL = 218, "a model is not defined",
        "The name is neither an alias under `models` nor `provider/model` with a provider that is defined.";
    NO_GUARDRAIL = 219, "a guardrail is not defined",
        "The name must stand under `guardrails`. A key or team that names a guardrail which is not there would go unguarded, so it is refused.";
    NO_SERVER = 220, "an MCP server is not defined",
        "The name must stand under `mcp_servers`. What a key allows is checked when the configuration is loaded.";
    NO_TEAM = 221, "a team is not defined",
        "The name must stand under `teams`. A team without settings is written as `research: {}`.";
    NO_DETECTOR = 222, "a detector is not known",
        "The hint lists the detectors that this version has.";
    NO_TOOL = 223, "a tool is not in the server's list",
        "`tool_settings` says what a tool is; `tools` says which ones are offered. Settings for a tool that is not offered are a mistake in one of the two.";
    ROUTE_CYCLE = 224, "a route leads back to itself",
        "An alias may stand in another alias's route, but following them must end at targets.";
    ROUTE_FORM = 225, "a route needs exactly one form",
        "A route is one of: a target, `fallback`, `weighted`, `least_latency`, `least_busy`, `least_cost`, `sticky`, `when` with `else`, `target` with `params`, `max_input`, `max_output` or `capabilities` of its own. What stands beside a form that it says nothing to would have no effect, and is refused. A model has either one of these or `route`.";
    BAD_WEIGHT = 226, "a weight is out of range",
        "Weights are whole numbers from 0 to 1,000,000, and at least one of a route's is above 0.";
    BAD_HOST = 227, "a host name cannot be read",
        "`hosts` lists the names and addresses that clients use to reach the gateway, without scheme and path: `gateway.example`, `gateway.example:8443`, `*.gateway.example`.";
    REPEATED = 228, "an entry stands twice in a list",
        "The second entry has no effect. Remove it.";
    NOT_RETRIED = 229, "a status is not one that may be retried",
        "`retry.on` takes 408, 409, 425, 429 and 500 to 599. Other answers do not change when the same call is sent again.";
    BAD_HEADER = 230, "a header cannot be set",
        "Header names are HTTP tokens. Headers that the gateway itself sets (host, content-length, authorization where `key` is given, and such) and hop-by-hop headers cannot be set; values are one line of visible ASCII.";
    BAD_TIMEOUT = 231, "a timeout makes no sense",
        "A timeout is more than zero and at most 24 hours, and `total` is at least as long as each of the others.";
    PROVIDER_TYPE = 232, "the provider's type is not known",
        "Without `type`, the provider's name is taken for it. Types are the vendors in the catalogue; a server that speaks a vendor's dialect has that vendor's type and its own `base_url`.";
    NO_BASE_URL = 233, "a provider needs a base URL",
        "This type has no address of its own: say where it runs with `base_url`.";
    BAD_TIME = 234, "a moment cannot be read",
        "A moment is written as RFC 3339: `2027-01-31T00:00:00Z`.";
    SCHEMA_NAME = 235, "the same thing is meant twice",
        "Two settings of one object say the same in different ways. Keep one.";
    PROVIDER_DIALECT = 236, "the provider does not speak this dialect",
        "A `dialect` narrows a provider to one of the wire formats that its type speaks: `openai_chat` or `openai_responses` for `openai`, `bedrock` or `bedrock_invoke` for `bedrock`. Take a type that speaks the one you want, or leave `dialect` out.";
    TOKENIZE_TOOLS = 246, "tokens cannot go to tools",
        "`action: tokenize` lets models see tokens instead of values. Tools need the values, so such a guardrail looks at `request` and `response` only; name another guardrail for tools.";
    BAD_COMMAND = 248, "a program cannot be started like this",
        "An MCP server with a `command` is a program that the gateway starts, without a shell, once for each client session. It has no `url`, `key` or `headers`; what it needs to know it gets in `env`, whose values are texts or references.";
    BAD_CONDITION = 260, "a condition cannot be used",
        "`if` takes one Cedar expression over what policies see of a model call: `context.request`, `context.time`, `context.source_address`, `principal`. It is decided before a target is chosen, so it has no `resource`. `tidegate policy check` prints the schema.";
    BAD_PARAMETER = 261, "a parameter cannot be set",
        "`params` sets parameters of the target's API such as `temperature`, `top_p` or `max_tokens`. What the caller says itself (model, messages, tools, stream) cannot be set.";
    BAD_SCOPE = 262, "a budget's scope cannot be used",
        "`scope` says which calls a budget is for: `model`, `provider`, `mcp_server`, `tool` (as `server/tool`), `team`, `key`, `metadata`. It names at least one, and a model call never reaches a server or tool. A budget without `budget` and `limits` limits nothing.";
    NO_SETTING = 270, "an address needs a setting",
        "The address of some vendors names an account: a resource of Azure, a project of Google Cloud, a workspace. Such a provider needs that setting, as text or as a reference, or the environment variable that usually holds it; or a `base_url` that says it all. `docs/providers.md` lists what each type needs.";
    IDLE_SETTING = 271, "a setting does nothing here",
        "The address of this type of provider does not have this setting, or the provider has a `base_url` of its own. What has no effect is refused, since whoever wrote it expects one.";
    BAD_SETTING = 272, "a setting cannot stand in an address",
        "What goes into an address has no character that could lead it elsewhere: a name of letters, digits and `-`, without slashes, ports or spaces.";
    BAD_CREDENTIALS = 273, "tokens cannot be had like this",
        "`credentials` says where tokens come from, in one way: for Azure `tenant_id`, `client_id` and `client_secret`; `tenant_id`, `client_id` and `federated_token_file`; or `managed_identity: true`. For Google Cloud `service_account`, `external_account` or `metadata_server: true`. Other vendors take a `key`.";
    LITERAL_SECRET = 301, "a secret stands in the file",
        "Files are copied, mailed and committed; secrets are not written into them. Put the value into an environment variable or a file that only the gateway's user can read, and refer to it: `key: env:OPENAI_API_KEY`, `key: file:/run/secrets/openai`. If the file was ever shared, replace the secret at its vendor too.";
    BAD_REFERENCE = 302, "a reference cannot be read",
        "A reference is a whole value: `env:NAME` with a variable's name (letters, digits and `_`), or `file:PATH` with a path, relative to the configuration file.";
    SCHEME_LATER = 303, "a reference's scheme is not available yet",
        "`vault:`, `aws-sm:`, `gcp-sm:`, `azure-kv:`, `k8s:` and `keyring:` are part of the configuration's language but not of this version. Use `env:` or `file:`; most secret stores can provide either.";
    NO_VARIABLE = 304, "an environment variable is not set",
        "The variable that the reference names is not set, or is empty, in the process that runs tidegate. `tidegate check` does not need it; `serve` does.";
    NO_SECRET_FILE = 305, "a secret's file cannot be read",
        "The file that the reference names must exist, be readable, have at most 64 KiB of UTF-8 text, and not be empty.";
    WEAK_SECRET = 306, "a key's secret is too short",
        "A key's secret needs 16 to 512 characters of visible ASCII. `tidegate key issue NAME` makes a good one.";
    SAME_SECRET = 307, "two keys have the same secret",
        "A call shows one secret; it must name one key.";
    BAD_KEY = 308, "a key is damaged",
        "The value starts with `tg_` but its length or checksum is wrong: part of it was lost or changed on the way. Copy it again, or issue a new one.";
    SIM_IN_SERVE = 401, "the sim provider is not for production",
        "`sim` invents its answers. It is part of `tidegate up` and is refused by `tidegate serve`. Remove it from the file.";
    HOSTS_NEEDED = 402, "`hosts` is required",
        "The gateway listens on an address that other machines reach. List the names that clients use under `hosts`, so that requests which were tricked into coming here (DNS rebinding) can be told apart.";
    PUBLIC_URL_HOST = 403, "`public_url` is not among `hosts`",
        "Clients that follow `public_url` would be refused, since the host they name is not listed. Add it to `hosts`.";
    POLICY_FILE = 501, "a policy file cannot be read",
        "`policies` names a folder of `.cedar` files, or such files, relative to the configuration file.";
    POLICY = 502, "a policy is not valid",
        "The policy does not parse, or names an entity, action or attribute that the configuration does not define. `tidegate policy check` prints the schema that policies are checked against.";
    PRICE_FILE = 503, "a price file cannot be used",
        "`prices` names price files (`catalog.v1`), or folders of such `.json` files, relative to the configuration file. A file that cannot be read whole is refused whole, and a running gateway keeps the prices it has. `tidegate catalog import` writes one from a list that others keep.";
    INTERNAL = 901, "the configuration could not be compiled",
        "The configuration is well formed, but a part of the gateway refused it when it was put together. The message says which part and why.";
}

#[cfg(test)]
mod tests;
