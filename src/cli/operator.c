/* Questions to a daemon over HTTP. The operator's go over the Unix socket in the data directory: whoever may open it
 * (mode 0600) has the operator's rights, so nothing is sent to prove them. */
#include "cli/cli.h"
#include "net/curl.h"

#define ANSWER_BYTES_MAX ((size_t)64 << 20)
#define CONNECT_MS 2000L

static size_t keep_body(char *p, size_t size, size_t n, void *ctx) { return buf_add(ctx, p, size * n) ? n : 0; }

/* Turns {"error":{"code","message"}} into the error it names. */
static enum err answer_error(struct cli *c, const struct json *root, long status)
{
	const struct json *error = json_get(root, "error");
	struct str code, message = STR("");
	json_str(json_get(error, "message"), &message);
	if (!json_str(json_get(error, "code"), &code))
		return err_set(&c->info, ERR_INTERNAL, "the daemon answered with HTTP status %ld", status);
	return err_set(&c->info, err_from_code(code.p, (uint32_t)code.n), "%.*s", STR_ARG(message));
}

static enum err transport_error(struct cli *c, CURLcode code, const char *where)
{
	if (code == CURLE_COULDNT_CONNECT)
		return err_set(&c->info, ERR_UNAVAILABLE, "no daemon answers at %.160s%s", where,
			       where[0] == '/' ? "; start one with: roost serve" : "");
	return err_set(&c->info, ERR_UNAVAILABLE, "the daemon at %.120s could not be asked: %s", where,
		       curl_easy_strerror(code));
}

/* `where` is told in errors: the data directory or the URL. */
static enum err perform(struct cli *c, const char *method, const char *url, const char *socket, const char *where,
			struct str body, int64_t wait_ms, struct json_doc **out)
{
	*out = NULL;
	enum err e = curl_load(&c->info);
	if (e != OK) return e;
	struct buf answer = BUF_INIT(ANSWER_BYTES_MAX);
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	CURL *curl = curl_easy_init();
	long status = 0;

	if (curl == NULL || headers == NULL) die(71, "out of memory");
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)wait_ms);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
	if (socket != NULL) curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (body.p != NULL) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.p);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
	}
	CURLcode code = curl_easy_perform(curl);
	if (code != CURLE_OK) {
		e = transport_error(c, code, where);
		goto out;
	}
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	e = json_parse(buf_str(&answer), out, &c->info);
	if (e != OK)
		e = err_set(&c->info, ERR_INTERNAL, "%.120s answered with HTTP status %ld and no JSON", where, status);
	else if (status >= 400) e = answer_error(c, json_root(*out), status);
	if (e != OK) {
		json_free(*out);
		*out = NULL;
	}
out:
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	buf_release(&answer);
	return e;
}

enum err operator_call(struct cli *c, const char *method, const char *path, struct str body, int64_t wait_ms,
		       struct json_doc **out)
{
	struct buf url = BUF_INIT(4096), socket = BUF_INIT(4096);
	buf_addf(&url, "http://localhost/api/v1/operator/%s", path);
	buf_addf(&socket, "%s/roost.sock", c->config.data_dir);
	enum err e = perform(c, method, url.p, socket.p, c->config.data_dir, body, wait_ms, out);
	buf_release(&url);
	buf_release(&socket);
	return e;
}

enum err remote_call(struct cli *c, const char *method, const char *base_url, const char *path, struct str body,
		     struct json_doc **out)
{
	struct buf url = BUF_INIT(4096);
	buf_addf(&url, "%s%s", base_url, path);
	enum err e = url.failed ? err_set(&c->info, ERR_USAGE, "the URL is too long")
				: perform(c, method, url.p, NULL, base_url, body, OPERATOR_MS, out);
	buf_release(&url);
	return e;
}
