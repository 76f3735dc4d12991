// How each dialect says what a script says: the bytes that the vendors' own servers send, and the errors they answer.
//
// A dialect is a function of one call that gives a writer. A writer's methods give pieces of the body, in the order in
// which they are called: open, thinking(text), text(text), tool(call), finish(reason, usage), which ends the answer.
// `whole` is the answer that does not stream. Everything is ours to choose but the shape, which must be the vendors':
// models_sdk.test.mjs has their own clients read it.
//
// Words of the scripts: finish is one of stop, length, tool_calls, content_filter, refusal; usage is
// {input, output, thinking, cacheRead, cacheWrite}, where input includes what a cache served and output the thinking.

const sse = (data, name) => `${name ? `event: ${name}\n` : ""}data: ${JSON.stringify(data)}\n\n`;
const line = (data) => `${JSON.stringify(data)}\n`;
const CREATED = 1_780_000_000;

// What is asked of every request before anything is answered: the sentence of a 400, or nothing.
const needs = (body, ...members) => members.filter((name) => body?.[name] === undefined).map((name) => `${name} is required`)[0];

// ---- OpenAI: chat completions -----------------------------------------------------------------------------------------

const openaiError = {
	rate: [429, { type: "requests", code: "rate_limit_exceeded" }],
	overloaded: [503, { type: "service_unavailable_error", code: "server_is_overloaded" }],
	server: [500, { type: "server_error", code: null }],
	timeout: [504, { type: "timeout_error", code: null }],
	auth: [401, { type: "invalid_request_error", code: "invalid_api_key" }],
	quota: [429, { type: "insufficient_quota", code: "insufficient_quota" }],
	model: [404, { type: "invalid_request_error", code: "model_not_found" }],
	context: [400, { type: "invalid_request_error", code: "context_length_exceeded" }],
	invalid: [400, { type: "invalid_request_error", code: null }],
};

const openai = {
	name: "openai",
	type: "text/event-stream; charset=utf-8",
	base: "/v1",
	path: /\/chat\/completions$/,
	key: (headers) => headers.authorization?.replace(/^Bearer /, ""),
	streams: ({ body }) => body.stream === true,
	wrong: ({ body }) => needs(body, "model", "messages"),
	error(kind, message) {
		const [status, more] = openaiError[kind];
		return { status, body: { error: { message, param: null, ...more } } };
	},
	errorInside: (kind, message) => sse(openai.error(kind, message).body),
	keepAlive: ": keep-alive\n\n",
	limits: ({ requests, tokens, resetMs = 1000 }) => ({
		"x-ratelimit-limit-requests": requests[0],
		"x-ratelimit-remaining-requests": requests[1],
		"x-ratelimit-reset-requests": `${resetMs}ms`,
		"x-ratelimit-limit-tokens": tokens[0],
		"x-ratelimit-remaining-tokens": tokens[1],
		"x-ratelimit-reset-tokens": `${resetMs}ms`,
	}),
	models: (ids) => ({ object: "list", data: ids.map((id) => ({ id, object: "model", created: CREATED, owned_by: "us" })) }),
	usage: (u) => ({
		prompt_tokens: u.input,
		completion_tokens: u.output,
		total_tokens: u.input + u.output,
		prompt_tokens_details: { cached_tokens: u.cacheRead ?? 0 },
		completion_tokens_details: { reasoning_tokens: u.thinking ?? 0 },
	}),
	writer({ id, body }) {
		const about = { id: `chatcmpl-${id}`, object: "chat.completion.chunk", created: CREATED, model: body.model };
		const withUsage = body.stream_options?.include_usage;
		let ntools = 0;
		const chunk = (delta, finish = null) =>
			sse({ ...about, choices: [{ index: 0, delta, finish_reason: finish }], ...(withUsage ? { usage: null } : {}) });
		const asked = (t, index) =>
			({ index, id: t.id, type: "function", function: { name: t.name, arguments: JSON.stringify(t.arguments) } });
		return {
			open: () => chunk({ role: "assistant", content: "" }),
			thinking: (text) => chunk({ reasoning_content: text }),
			text: (text) => chunk({ content: text }),
			tool(t) {
				const index = ntools++, [head, tail] = halves(JSON.stringify(t.arguments));
				return chunk({ tool_calls: [{ ...asked(t, index), function: { name: t.name, arguments: head } }] }) +
					chunk({ tool_calls: [{ index, function: { arguments: tail } }] });
			},
			finish: (reason, usage) => chunk({}, reason) +
				(usage && withUsage ? sse({ ...about, choices: [], usage: openai.usage(usage) }) : "") + "data: [DONE]\n\n",
			whole: (s) => ({
				...about,
				object: "chat.completion",
				choices: [{ index: 0, finish_reason: s.finish, message: { role: "assistant", content: s.text.join(""),
					...(s.tools.length ? { tool_calls: s.tools.map(({ ...t }) => ({ ...asked(t), index: undefined })) } : {}) } }],
				...(s.usage ? { usage: openai.usage(s.usage) } : {}),
			}),
		};
	},
};

// ---- OpenAI: responses --------------------------------------------------------------------------------------------------

const responses = {
	...openai,
	name: "openai-responses",
	path: /\/responses$/,
	wrong: ({ body }) => needs(body, "model", "input"),
	errorInside: (kind, message) => sse({ type: "error", code: openaiError[kind][1].code ?? "server_error", message,
		param: null, sequence_number: 99 }, "error"),
	usage: (u) => ({
		input_tokens: u.input,
		input_tokens_details: { cached_tokens: u.cacheRead ?? 0, cache_write_tokens: u.cacheWrite ?? 0 },
		output_tokens: u.output,
		output_tokens_details: { reasoning_tokens: u.thinking ?? 0 },
		total_tokens: u.input + u.output,
	}),
	writer({ id, body }) {
		const output = [];
		let nth = 0, open;
		const event = (type, more) => sse({ type, sequence_number: nth++, ...more }, type);
		const response = (status, more = {}) => ({ id: `resp_${id}`, object: "response", created_at: CREATED, status,
			model: body.model, output: status === "in_progress" ? [] : output, error: null, incomplete_details: null,
			instructions: null, metadata: {}, tools: [], tool_choice: "auto", parallel_tool_calls: true, temperature: null,
			top_p: null, usage: null, ...more });
		const place = () => ({ item_id: open.item.id, output_index: output.length });
		const part = (text) => open.kind === "text" ? { content_index: 0, part: { type: "output_text", text, annotations: [],
			logprobs: [] } } : { summary_index: 0, part: { type: "summary_text", text } };
		const names = { text: ["response.content_part", "response.output_text"],
			thinking: ["response.reasoning_summary_part", "response.reasoning_summary_text"] };
		const slot = () => open.kind === "text" ? { content_index: 0 } : { summary_index: 0 };
		// The end of an item repeats all that its deltas said.
		const end = () => {
			if (!open) return "";
			const { kind, item, text } = open, [parts, texts] = names[kind];
			const done = { ...item, ...(kind === "text" ? { status: "completed", content: [part(text).part] }
				: { summary: [part(text).part] }) };
			const all = event(`${texts}.done`, { ...place(), ...slot(), text, ...(kind === "text" ? { logprobs: [] } : {}) }) +
				event(`${parts}.done`, { ...place(), ...part(text) }) +
				event("response.output_item.done", { output_index: output.length, item: done });
			output.push(done);
			open = undefined;
			return all;
		};
		const begin = (kind, item) => {
			if (open?.kind === kind) return "";
			const before = end();
			open = { kind, item, text: "" };
			return before + event("response.output_item.added", { output_index: output.length, item }) +
				event(`${names[kind][0]}.added`, { ...place(), ...part("") });
		};
		const delta = (text, more) => ((open.text += text),
			event(`${names[open.kind][1]}.delta`, { ...place(), ...slot(), delta: text, ...more }));
		const call = (t, i, status) => ({ type: "function_call", id: `fc_${id}_${i}`, call_id: t.id, name: t.name,
			arguments: status === "completed" ? JSON.stringify(t.arguments) : "", status });
		const ended = (reason, usage) => {
			const cause = { length: "max_output_tokens", content_filter: "content_filter" }[reason];
			return response(cause ? "incomplete" : "completed", { incomplete_details: cause ? { reason: cause } : null,
				usage: usage ? responses.usage(usage) : null });
		};
		return {
			open: () => event("response.created", { response: response("in_progress") }) +
				event("response.in_progress", { response: response("in_progress") }),
			thinking: (text) => begin("thinking", { type: "reasoning", id: `rs_${id}`, summary: [] }) + delta(text),
			text: (text) => begin("text", { type: "message", id: `msg_${id}`, status: "in_progress", role: "assistant",
				content: [] }) + delta(text, { logprobs: [] }),
			tool(t) {
				const before = end(), i = output.length, [head, tail] = halves(JSON.stringify(t.arguments));
				const at = { item_id: `fc_${id}_${i}`, output_index: i };
				output.push(call(t, i, "completed"));
				return before + event("response.output_item.added", { output_index: i, item: call(t, i, "in_progress") }) +
					event("response.function_call_arguments.delta", { ...at, delta: head }) +
					event("response.function_call_arguments.delta", { ...at, delta: tail }) +
					event("response.function_call_arguments.done", { ...at, name: t.name, arguments: head + tail }) +
					event("response.output_item.done", { output_index: i, item: output[i] });
			},
			finish(reason, usage) {
				const before = end(), response = ended(reason, usage);
				return before + event(`response.${response.status}`, { response });
			},
			whole(s) {
				for (const text of [s.thinking.join("")].filter(Boolean)) this.thinking(text);
				for (const text of [s.text.join("")].filter(Boolean)) this.text(text);
				end();
				for (const t of s.tools) this.tool(t);
				return ended(s.finish, s.usage);
			},
		};
	},
};

// ---- Anthropic: messages --------------------------------------------------------------------------------------------------

const anthropicError = {
	rate: [429, "rate_limit_error"],
	overloaded: [529, "overloaded_error"],
	server: [500, "api_error"],
	timeout: [504, "timeout_error"],
	auth: [401, "authentication_error"],
	quota: [429, "rate_limit_error", "enforced_spend_limit_reached"],
	model: [404, "not_found_error"],
	context: [400, "invalid_request_error"],
	invalid: [400, "invalid_request_error"],
};
const anthropicWords = { stop: "end_turn", length: "max_tokens", tool_calls: "tool_use", content_filter: "refusal" };
const sampling = ["temperature", "top_p", "top_k"];

const anthropic = {
	name: "anthropic",
	type: "text/event-stream; charset=utf-8",
	base: "",
	path: /\/v1\/messages$/,
	key: (headers) => headers["x-api-key"] ?? headers.authorization?.replace(/^Bearer /, ""),
	streams: ({ body }) => body.stream === true,
	wrong({ body, headers }) {
		const version = headers["anthropic-version"];
		const old = version === "2023-06-01";
		if (!old && version !== "2026-10-21") return "anthropic-version: header is required";
		const refused = old ? undefined : sampling.find((name) => body[name] !== undefined);
		if (refused) return `${refused}: not supported by this version`;
		const { thinking } = body;
		if (thinking?.type === "enabled" && !(thinking.budget_tokens >= 1024 && thinking.budget_tokens < body.max_tokens))
			return "thinking.budget_tokens: must be at least 1024 and less than max_tokens";
		return needs(body, "model", "max_tokens", "messages");
	},
	error(kind, message) {
		const [status, type, code] = anthropicError[kind];
		const error = { type, message, ...(code ? { details: { error_code: code } } : {}) };
		return { status, body: { type: "error", error, request_id: "req_fake" } };
	},
	errorInside: (kind, message) => sse(anthropic.error(kind, message).body, "error"),
	keepAlive: sse({ type: "ping" }, "ping"),
	limits({ requests, tokens, resetMs = 1000 }) {
		const reset = new Date(Date.now() + resetMs).toISOString();
		return Object.fromEntries([["requests", requests], ["tokens", tokens]].flatMap(([name, [limit, remaining]]) => [
			[`anthropic-ratelimit-${name}-limit`, limit], [`anthropic-ratelimit-${name}-remaining`, remaining],
			[`anthropic-ratelimit-${name}-reset`, reset]]));
	},
	models: (ids, next) => ({ has_more: next !== undefined, first_id: ids[0], last_id: ids.at(-1),
		data: ids.map((id) => ({ type: "model", id, display_name: id, created_at: "2026-01-01T00:00:00Z" })) }),
	usage: (u) => ({
		input_tokens: u.input - (u.cacheRead ?? 0) - (u.cacheWrite ?? 0),
		cache_creation_input_tokens: u.cacheWrite ?? 0,
		cache_read_input_tokens: u.cacheRead ?? 0,
		output_tokens: u.output,
		...(u.thinking ? { output_tokens_details: { thinking_tokens: u.thinking } } : {}),
	}),
	writer({ id, body }, script) {
		const { usage: told } = script;
		let index = -1, open;
		const event = (type, more) => sse({ type, ...more }, type);
		const end = () => {
			if (!open) return "";
			const signed = open === "thinking" ? event("content_block_delta", { index, delta: { type: "signature_delta",
				signature: "c2lnbmVk" } }) : "";
			open = undefined;
			return signed + event("content_block_stop", { index });
		};
		const begin = (type, block) => {
			if (open === type && type !== "tool_use") return "";
			const before = end();
			open = type;
			index++;
			return before + event("content_block_start", { index, content_block: { type, ...block } });
		};
		const delta = (type, more) => event("content_block_delta", { index, delta: { type, ...more } });
		const message = (more) => ({ id: `msg_${id}`, type: "message", role: "assistant", model: body.model, content: [],
			stop_reason: null, stop_sequence: null, ...more });
		const word = (reason) => anthropicWords[reason] ?? reason;
		return {
			open: () => event("message_start", { message: message({ usage: told ? { ...anthropic.usage(told),
				output_tokens: 1 } : {} }) }) + anthropic.keepAlive,
			thinking: (text) => begin("thinking", { thinking: "", signature: "" }) + delta("thinking_delta", { thinking: text }),
			text: (text) => begin("text", { text: "" }) + delta("text_delta", { text }),
			tool(t) {
				const [head, tail] = halves(JSON.stringify(t.arguments));
				return begin("tool_use", { id: t.id, name: t.name, input: {} }) +
					delta("input_json_delta", { partial_json: head }) + delta("input_json_delta", { partial_json: tail });
			},
			finish: (reason, usage) => end() + event("message_delta", { delta: { stop_reason: word(reason),
				stop_sequence: null }, usage: usage ? { output_tokens: usage.output,
				...(usage.thinking ? { output_tokens_details: { thinking_tokens: usage.thinking } } : {}) } : {} }) +
				event("message_stop", {}),
			whole: (s) => message({
				content: [
					...(s.thinking.length ? [{ type: "thinking", thinking: s.thinking.join(""), signature: "c2lnbmVk" }] : []),
					...(s.text.length ? [{ type: "text", text: s.text.join("") }] : []),
					...s.tools.map((t) => ({ type: "tool_use", id: t.id, name: t.name, input: t.arguments })),
				],
				stop_reason: word(s.finish),
				usage: s.usage ? anthropic.usage(s.usage) : {},
			}),
		};
	},
};

// ---- Google: generateContent ------------------------------------------------------------------------------------------------

const RPC = "type.googleapis.com/google.rpc";
const geminiError = {
	rate: [429, "RESOURCE_EXHAUSTED", [{ "@type": `${RPC}.RetryInfo`, retryDelay: "0.01s" }]],
	overloaded: [503, "UNAVAILABLE"],
	server: [500, "INTERNAL"],
	timeout: [504, "DEADLINE_EXCEEDED"],
	auth: [403, "PERMISSION_DENIED"],
	quota: [429, "RESOURCE_EXHAUSTED", [{ "@type": `${RPC}.QuotaFailure`, violations: [{ quotaId: "RequestsPerDay" }] }]],
	model: [404, "NOT_FOUND"],
	context: [400, "INVALID_ARGUMENT"],
	invalid: [400, "INVALID_ARGUMENT"],
};
const geminiWords = { stop: "STOP", length: "MAX_TOKENS", tool_calls: "STOP", content_filter: "SAFETY", refusal: "SAFETY" };

const gemini = {
	name: "gemini",
	type: "text/event-stream",
	base: "/v1beta",
	path: /\/v1(?:beta)?\/models\/([^/]+):(stream)?[gG]enerateContent$/,
	key: (headers) => headers["x-goog-api-key"],
	streams: ({ url }) => url.pathname.includes(":stream"),
	wrong: ({ body, url }) =>
		url.searchParams.has("key") ? "the key does not belong into the URL"
		: gemini.streams({ url }) && url.searchParams.get("alt") !== "sse" ? "alt must be sse"
		: needs(body, "contents"),
	error(kind, message) {
		const [code, status, details] = geminiError[kind];
		return { status: code, body: { error: { code, message, status, ...(details ? { details } : {}) } } };
	},
	errorInside: (kind, message) => sse(gemini.error(kind, message).body),
	keepAlive: ": keep-alive\r\n\r\n",
	limits: () => ({}),
	models: (ids, next) => ({ models: ids.map((id) => ({ name: `models/${id}`, displayName: id, inputTokenLimit: 100_000,
		outputTokenLimit: 8192, supportedGenerationMethods: ["generateContent", "countTokens"] })), nextPageToken: next }),
	usage: (u) => ({
		promptTokenCount: u.input,
		...(u.cacheRead ? { cachedContentTokenCount: u.cacheRead } : {}),
		candidatesTokenCount: u.output - (u.thinking ?? 0),
		...(u.thinking ? { thoughtsTokenCount: u.thinking } : {}),
		totalTokenCount: u.input + u.output,
	}),
	writer({ id, model }) {
		const about = { modelVersion: model, responseId: `r${id}` };
		const answer = (parts, more = {}, usage) => ({
			candidates: [{ content: { role: "model", parts }, index: 0, ...more }],
			...(usage ? { usageMetadata: gemini.usage(usage) } : {}),
			...about,
		});
		// Its lines end with CR LF.
		const event = (...all) => sse(answer(...all)).replaceAll("\n", "\r\n");
		const word = (reason) => ({ finishReason: geminiWords[reason] ?? reason });
		const call = (t) => ({ functionCall: { id: t.id, name: t.name, args: t.arguments } });
		return {
			open: () => "",
			thinking: (text) => event([{ text, thought: true }]),
			text: (text) => event([{ text }]),
			tool: (t) => event([{ ...call(t), thoughtSignature: "c2lnbmVk" }]),
			finish: (reason, usage) => event([{ text: "" }], word(reason), usage),
			whole: (s) => answer([...s.thinking.map((text) => ({ text, thought: true })), ...s.text.map((text) => ({ text })),
				...s.tools.map(call)], word(s.finish), s.usage),
		};
	},
};

// ---- Ollama: /api/chat --------------------------------------------------------------------------------------------------------

const ollamaError = {
	rate: 429, overloaded: 503, server: 500, timeout: 504, auth: 401, quota: 402, model: 404, context: 400, invalid: 400,
};

const ollama = {
	name: "ollama",
	type: "application/x-ndjson",
	base: "",
	path: /\/api\/chat$/,
	key: (headers) => headers.authorization?.replace(/^Bearer /, ""),
	streams: ({ body }) => body.stream !== false,
	wrong: ({ body }) => needs(body, "model"),
	error: (kind, message) => ({ status: ollamaError[kind], body: { error: message } }),
	errorInside: (kind, message) => line({ error: message }),
	keepAlive: "\n",
	limits: () => ({}),
	models: (ids) => ({ models: ids.map((id) => ({ name: id, model: id, modified_at: "2026-01-01T00:00:00Z", size: 1,
		digest: "0".repeat(64), details: { family: "llama", parameter_size: "8B" } })) }),
	usage: (u) => ({ prompt_eval_count: u.input, prompt_eval_duration: 3_000_000, eval_count: u.output,
		eval_duration: 40_000_000 }),
	writer({ body }) {
		const answer = (message, more = {}) => ({ model: body.model, created_at: "2026-11-20T10:00:00.123456789Z",
			message: { role: "assistant", content: "", ...message }, done: false, ...more });
		const call = (t, index) => ({ id: t.id, function: { index, name: t.name, arguments: t.arguments } });
		const last = (reason, usage) => ({ done: true, done_reason: reason === "tool_calls" ? "stop" : reason,
			total_duration: 91_000_000, load_duration: 1_000_000, ...(usage ? ollama.usage(usage) : {}) });
		let ntools = 0;
		return {
			open: () => "",
			thinking: (thinking) => line(answer({ thinking })),
			text: (content) => line(answer({ content })),
			tool: (t) => line(answer({ tool_calls: [call(t, ntools++)] })),
			finish: (reason, usage) => line(answer({}, last(reason, usage))),
			whole: (s) => answer({ content: s.text.join(""), ...(s.thinking.length ? { thinking: s.thinking.join("") } : {}),
				...(s.tools.length ? { tool_calls: s.tools.map(call) } : {}) }, last(s.finish, s.usage)),
		};
	},
};

// Two pieces, cut in the middle of a word.
function halves(text) {
	const at = text.length >> 1;
	return [text.slice(0, at), text.slice(at)];
}

export const dialects = { openai, "openai-responses": responses, anthropic, gemini, ollama };
