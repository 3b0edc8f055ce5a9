#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn env(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
    move |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

fn asked(base: &str) -> Asked {
    Asked { api_base: Some(base.to_owned()), api_key: Some("k".to_owned().into()), ..Asked::default() }
}

fn chat_url(model: &str, asked: &Asked) -> (String, String) {
    let endpoint = resolve(model, asked, &env(&[])).unwrap();
    (endpoint.url("chat/completions").to_string(), endpoint.model)
}

#[test]
fn a_closed_service_at_an_own_address_or_elsewhere() {
    let with_key = Asked { api_key: Some("k".to_owned().into()), ..Asked::default() };
    let found = |asked: &Asked, pairs: &'static [(&'static str, &'static str)]| {
        let endpoint = resolve("anyscale/mistralai/Mixtral", asked, &env(pairs))?;
        Ok::<_, Error>((endpoint.url("x").to_string(), endpoint.model, endpoint.name))
    };
    let own = found(&with_key, &[("ANYSCALE_API_BASE", "http://h:1/v1")]).unwrap();
    assert_eq!((own.0.as_str(), own.1.as_str()), ("http://h:1/v1/x", "mistralai/Mixtral"));
    let moved = [("FERROUTE_ANYSCALE", "together_ai"), ("ANYSCALE_API_BASE", "http://h:1"), ("TOGETHER_API_KEY", "t")];
    let elsewhere =
        found(&Asked::default(), const { &[("FERROUTE_ANYSCALE", "together_ai/"), ("TOGETHER_API_KEY", "t")] });
    assert_eq!(elsewhere.unwrap().2, "together_ai/mistralai/Mixtral");
    let env = |name: &str| moved.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let endpoint = resolve("anyscale/mistralai/Mixtral", &Asked::default(), &env).unwrap();
    assert_eq!((endpoint.provider, endpoint.model.as_str()), ("together_ai", "mistralai/Mixtral"));
    assert_eq!(endpoint.key.unwrap().expose_secret(), "t");
    // What the call says goes before.
    let given = resolve("anyscale/a", &asked("http://h:2"), &env).unwrap();
    assert_eq!((given.provider, given.url("x").as_str()), ("anyscale", "http://h:2/v1/x"));
    let error = found(&with_key, &[("FERROUTE_ANYSCALE", "elsewhere")]).unwrap_err();
    assert!(error.message().contains("FERROUTE_ANYSCALE must name another provider"), "{error}");
    assert!(found(&with_key, &[("FERROUTE_ANYSCALE", "anyscale")]).unwrap_err().message().contains("closed"));
}

#[test]
fn prefixes_and_bare_names() {
    let with_key = Asked { api_key: Some("k".to_owned().into()), ..Asked::default() };
    for (model, url, id) in [
        ("openai/gpt-5", "https://api.openai.com/v1/chat/completions", "gpt-5"),
        ("gpt-4-1106-preview", "https://api.openai.com/v1/chat/completions", "gpt-4-1106-preview"),
        ("o1-mini", "https://api.openai.com/v1/chat/completions", "o1-mini"),
        ("groq/llama-3", "https://api.groq.com/openai/v1/chat/completions", "llama-3"),
        ("together/mistralai/Mixtral-8x7B", "https://api.together.ai/v1/chat/completions", "mistralai/Mixtral-8x7B"),
        ("fireworks_ai/x", "https://api.fireworks.ai/inference/v1/chat/completions", "accounts/fireworks/models/x"),
        ("fireworks_ai/accounts/a/x", "https://api.fireworks.ai/inference/v1/chat/completions", "accounts/a/x"),
        ("perplexity/sonar", "https://api.perplexity.ai/chat/completions", "sonar"),
        ("deepseek-chat", "https://api.deepseek.com/v1/chat/completions", "deepseek-chat"),
        ("ollama/llama3", "http://localhost:11434/v1/chat/completions", "llama3"),
    ] {
        assert_eq!(chat_url(model, &with_key), (url.to_owned(), id.to_owned()), "{model}");
    }
}

#[test]
fn base_comes_with_or_without_path_and_slash() {
    for base in ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/", "h:1"] {
        assert_eq!(chat_url("openai/big", &asked(base)).0, "http://h:1/v1/chat/completions", "{base}");
    }
    assert_eq!(chat_url("openai/big", &asked("http://h:1/api/v4/")).0, "http://h:1/api/v4/chat/completions");
    assert_eq!(
        chat_url("openai/big", &asked("http://h:1/x?api-version=2")).0,
        "http://h:1/x/chat/completions?api-version=2"
    );
    assert_eq!(chat_url("perplexity/sonar", &asked("http://h:1")).0, "http://h:1/chat/completions");
    let query = Asked { query: vec![("a".into(), "b c".into())], ..asked("http://h:1") };
    assert_eq!(chat_url("openai/big", &query).0, "http://h:1/v1/chat/completions?a=b+c");
}

/// The whole URL of a streamed completion, and the dialect.
fn whole_url(model: &str, asked: &Asked, env: &dyn Fn(&str) -> Option<String>) -> (String, Dialect) {
    let endpoint = resolve(model, asked, env).unwrap();
    (endpoint.url(&endpoint.dialect.chat_path(&endpoint, false)).to_string(), endpoint.dialect)
}

#[test]
fn own_protocols_at_any_spelling_of_their_base() {
    let url = |model: &str, base: &str| whole_url(model, &asked(base), &env(&[])).0;
    for base in ["http://h:1", "h:1/", "http://h:1/v1", "http://h:1/v1/", "http://h:1/v1/messages"] {
        assert_eq!(url("anthropic/claude-x", base), "http://h:1/v1/messages", "{base}");
    }
    assert_eq!(url("anthropic/claude-x", "http://h:1/proxy/"), "http://h:1/proxy/v1/messages");
    assert_eq!(url("anthropic/claude-x", "http://h:1/v1?a=b"), "http://h:1/v1/messages?a=b");
    assert_eq!(url("deepseek/deepseek-chat", "http://h:1/anthropic"), "http://h:1/anthropic/v1/messages");
    for base in ["http://h:1", "http://h:1/", "http://h:1/v1beta", "http://h:1/v1beta/models/"] {
        assert_eq!(
            url("gemini/gemini-2.5-flash", base),
            "http://h:1/v1beta/models/gemini-2.5-flash:generateContent",
            "{base}"
        );
    }
    assert_eq!(url("gemini/models/g", "http://h:1/p"), "http://h:1/p/v1beta/models/g:generateContent");
    assert_eq!(
        whole_url("gemini/g", &asked("http://h:1/v1beta/openai/"), &env(&[])),
        ("http://h:1/v1beta/openai/chat/completions".to_owned(), Dialect::OpenAi)
    );
    let key = Asked { api_key: Some("k".to_owned().into()), ..Asked::default() };
    let own = |model| whole_url(model, &key, &env(&[]));
    assert_eq!(own("claude-haiku-4-5").0, "https://api.anthropic.com/v1/messages");
    assert_eq!(
        own("gemini-3-pro").0,
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-3-pro:generateContent"
    );
}

#[test]
fn azure_by_deployment_and_by_its_newer_path() {
    let url = |base: &str, version: Option<&str>| {
        let asked = Asked { api_version: version.map(str::to_owned), ..asked(base) };
        whole_url("azure/my dep", &asked, &env(&[])).0
    };
    let (old, new) =
        ("https://r.x/openai/deployments/my%20dep/chat/completions", "https://r.x/openai/v1/chat/completions");
    let dated = |url: &str| format!("{url}?api-version=2024-10-21");
    for base in ["https://r.x", "https://r.x/", "https://r.x/openai", "https://r.x/openai/deployments/my%20dep"] {
        assert_eq!(url(base, Some("2024-10-21")), dated(old), "{base}");
    }
    assert_eq!(
        url("https://r.x/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21", None),
        dated(old)
    );
    assert_eq!(url("https://r.x?api-version=2024-10-21", Some("2025-01-01")), dated(old));
    for base in
        ["https://r.x", "https://r.x/openai", "https://r.x/openai/v1/", "https://r.x/openai/v1/chat/completions"]
    {
        assert_eq!(url(base, None), new, "{base}");
        assert_eq!(url(base, Some("preview")), format!("{new}?api-version=preview"), "{base}");
    }
    assert_eq!(url("https://r.x/openai/v1", Some("2024-10-21")), new);
    let full =
        env(&[("AZURE_OPENAI_ENDPOINT", "https://r.x"), ("AZURE_API_VERSION", "2024-10-21"), ("AZURE_AD_TOKEN", "t")]);
    assert_eq!(whole_url("azure/my dep", &Asked::default(), &full).0, dated(old));
    assert_eq!(resolve("azure/d", &Asked::default(), &full).unwrap().headers[AUTHORIZATION], "Bearer t");
}

#[test]
fn other_models_of_azure_where_they_are() {
    let at = |base: &str, version: Option<&str>| {
        let asked = Asked { api_version: version.map(str::to_owned), ..asked(base) };
        whole_url("azure_ai/mistral-large", &asked, &env(&[]))
    };
    let host = "https://r.services.ai.azure.com";
    assert_eq!(at(host, None), (format!("{host}/openai/v1/chat/completions"), Dialect::Azure));
    assert_eq!(at(host, Some("2")), (format!("{host}/models/chat/completions?api-version=2"), Dialect::Azure));
    assert_eq!(
        at(&format!("{host}/models"), None).0,
        format!("{host}/models/chat/completions?api-version=2024-05-01-preview")
    );
    assert_eq!(at("http://h:1", None), ("http://h:1/v1/chat/completions".to_owned(), Dialect::OpenAi));
    assert_eq!(at("http://h:1/x/chat/completions", None).0, "http://h:1/x/chat/completions");
    assert_eq!(at(&format!("{host}/anthropic"), None), (format!("{host}/anthropic/v1/messages"), Dialect::Anthropic));
    let claude = whole_url("azure_ai/claude-sonnet-4-5", &asked(host), &env(&[]));
    assert_eq!(claude, (format!("{host}/anthropic/v1/messages"), Dialect::Anthropic));
}

#[test]
fn tokens_and_own_headers_stand_for_keys() {
    let full = env(&[("ANTHROPIC_AUTH_TOKEN", "t")]);
    let endpoint = resolve("claude-x", &Asked::default(), &full).unwrap();
    assert!(endpoint.key.is_none() && endpoint.headers[AUTHORIZATION].is_sensitive());
    let own = Asked { headers: vec![("X-Api-Key".into(), "mine".into())], ..Asked::default() };
    assert!(resolve("claude-x", &own, &env(&[])).is_ok());
    let entra = Asked { api_key: Some("eyJ0.eyJh.c2ln".to_owned().into()), ..asked("http://h:1") };
    let endpoint = resolve("azure/d", &entra, &env(&[])).unwrap();
    assert!(endpoint.key.is_none() && endpoint.headers[AUTHORIZATION] == "Bearer eyJ0.eyJh.c2ln");
}

#[test]
fn a_dash_in_a_version_is_a_dot_at_openai() {
    let with_key = Asked { api_key: Some("k".to_owned().into()), ..Asked::default() };
    for (model, sent) in [
        ("gpt-5-2", "gpt-5.2"),
        ("openai/gpt-5-2-2025-12-11", "gpt-5.2-2025-12-11"),
        ("gpt-4-1-mini", "gpt-4.1-mini"),
        ("gpt-5-mini", "gpt-5-mini"),
        ("gpt-5-2025-08-07", "gpt-5-2025-08-07"),
        ("gpt-4-1106-preview", "gpt-4-1106-preview"),
        ("gpt-4-0613", "gpt-4-0613"),
    ] {
        assert_eq!(chat_url(model, &with_key).1, sent, "{model}");
    }
    assert_eq!(chat_url("openai/gpt-5-2", &asked("http://h:1")).1, "gpt-5-2");
}

#[test]
fn a_base_takes_any_model_name() {
    assert_eq!(chat_url("meta-llama/Llama-3-8B", &asked("http://h:1")).1, "meta-llama/Llama-3-8B");
    assert_eq!(chat_url("claude-3", &asked("http://h:1")).1, "claude-3");
    assert_eq!(chat_url("openai/big", &asked("http://h:1")).1, "big");
    assert_eq!(chat_url("anyscale/mistralai/Mixtral", &asked("http://h:1")).1, "mistralai/Mixtral");
    let keyless = Asked { api_base: Some("http://h:1".into()), ..Asked::default() };
    assert!(resolve("openai/big", &keyless, &env(&[])).unwrap().key.is_none());
}

#[test]
fn caller_beats_environment_beats_table() {
    let endpoint = |asked: &Asked, env: &dyn Fn(&str) -> Option<String>| {
        let endpoint = resolve("openai/x", asked, env).unwrap();
        (endpoint.base.to_string(), endpoint.key.map(|key| key.expose_secret().to_owned()))
    };
    let full =
        env(&[("OPENAI_API_KEY", "e"), ("OPENAI_API_BASE", "http://later/v1"), ("OPENAI_BASE_URL", "http://env/v2")]);
    assert_eq!(endpoint(&Asked::default(), &full), ("http://env/v2".into(), Some("e".into())));
    assert_eq!(endpoint(&asked("http://own/v3"), &full), ("http://own/v3".into(), Some("k".into())));
    let empty = env(&[("OPENAI_API_KEY", "e"), ("OPENAI_BASE_URL", "")]);
    assert_eq!(endpoint(&Asked::default(), &empty), ("https://api.openai.com/v1".into(), Some("e".into())));
}

#[test]
fn organization_and_project_stay_with_openai() {
    let full = env(&[("OPENAI_API_KEY", "e"), ("OPENAI_ORG_ID", "org"), ("OPENAI_PROJECT_ID", "project")]);
    let at = |asked: &Asked| {
        let endpoint = resolve("openai/x", asked, &full).unwrap();
        (endpoint.key.is_some(), endpoint.headers.len())
    };
    assert_eq!(at(&Asked::default()), (true, 2));
    assert_eq!(at(&Asked { api_base: Some("http://h:1".into()), ..Asked::default() }), (true, 0));
    assert_eq!(at(&Asked { organization: Some("own".into()), ..asked("http://h:1") }), (true, 1));
}

#[test]
fn where_ollama_listens_is_where_it_is_called() {
    for (listens, url) in [
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080/v1"),
        ("http://0.0.0.0:11434/", "http://127.0.0.1:11434/v1"),
        (":8080", "http://127.0.0.1:8080/v1"),
        ("[::]:8080", "http://[::1]:8080/v1"),
        ("[::1]", "http://[::1]:11434/v1"),
        ("box", "http://box:11434/v1"),
        ("https://box/proxy", "https://box/proxy"),
    ] {
        let env = |name: &str| (name == "OLLAMA_HOST").then(|| listens.to_owned());
        assert_eq!(resolve("ollama/x", &Asked::default(), &env).unwrap().base.as_str(), url, "{listens}");
    }
}

#[test]
fn what_cannot_be_called_says_why() {
    let fails = |model: &str, asked: &Asked| resolve(model, asked, &env(&[])).unwrap_err();
    let none = Asked::default();
    let error = fails("mixtral-8x7b", &none);
    assert_eq!(error.kind(), Kind::Name);
    assert!(error.message().contains("openrouter") && error.message().contains("api_base"));
    for (model, says) in [("bedrock/x", "`anthropic/`"), ("vertex_ai/x", "`gemini/`")] {
        let error = fails(model, &none);
        assert!(error.kind() == Kind::Unsupported && error.message().contains(says), "{error:?}");
        assert_eq!(fails(model, &asked("http://h:1")).kind(), Kind::Unsupported);
    }
    for (model, says) in [
        ("claude-3", "ANTHROPIC_API_KEY"),
        ("gemini/x", "GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("azure/x", "AZURE_API_BASE or AZURE_OPENAI_ENDPOINT"),
        ("azure_ai/x", "AZURE_AI_API_BASE"),
    ] {
        assert!(fails(model, &none).message().contains(says), "{model}");
    }
    assert!(fails("anyscale/a/b", &none).message().contains("openrouter/a/b"));
    assert!(fails("anyscale/a/b", &none).message().contains("set FERROUTE_ANYSCALE=together_ai"));
    assert!(fails("openai/x", &none).message().contains("OPENAI_API_KEY"));
    assert!(fails("hosted_vllm/x", &none).message().contains("HOSTED_VLLM_API_BASE"));
    assert!(fails("openai/", &none).message().contains("no model"));
    for base in ["ftp://h", "http://user:hunter2@h", "http://", "http://h:99999"] {
        let error = fails("openai/x", &asked(base));
        assert_eq!(error.kind(), Kind::Value, "{base}");
        assert!(!error.message().contains("hunter2"));
    }
}

#[test]
fn debug_shows_no_secret() {
    let asked = Asked {
        api_base: Some("http://h:1/v1?token=hunter2".into()),
        api_key: Some("sk-hunter2-hunter2".to_owned().into()),
        headers: vec![("x-secret".into(), "hunter2".into())],
        ..Asked::default()
    };
    let endpoint = resolve("openai/x", &asked, &env(&[])).unwrap();
    assert!(!format!("{endpoint:?} {:?} {}", endpoint.headers, endpoint.shown_base()).contains("hunter2"));
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = PROVIDERS.iter().flat_map(|provider| provider.names).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
