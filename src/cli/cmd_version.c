/* roost version: which build this is, and of the libraries it runs on. */
#include "cli/cli.h"

#include <openssl/crypto.h>
#include <sqlite3.h>
#include <uv.h>

#include "net/curl.h"

static const struct cli_option options[] = {OPTION_JSON, OPTION_END};

static int run(struct cli *c)
{
	struct buf b = BUF_INIT(4096);
	struct jw w = JW(&b);
	if (!cli_switch(c, "json")) {
		printf("roost " ROOST_VERSION "\n");
		return 0;
	}
	jw_obj(&w);
	jw_kstr(&w, "version", STR(ROOST_VERSION));
	jw_kint(&w, "protocol", 1);
	jw_key(&w, "libraries");
	jw_obj(&w);
	jw_kstr(&w, "libuv", str_c(uv_version_string()));
	jw_kstr(&w, "sqlite", str_c(sqlite3_libversion()));
	jw_kstr(&w, "openssl", str_c(OpenSSL_version(OPENSSL_VERSION_STRING)));
	jw_key(&w, "curl");
	if (curl_load(NULL) == OK) jw_str(&w, str_c(curl_version_info(CURLVERSION_NOW)->version));
	else jw_null(&w);
	jw_obj_end(&w);
	jw_obj_end(&w);
	printf("%.*s\n", STR_ARG(buf_str(&b)));
	buf_release(&b);
	return 0;
}

const struct cli_command cmd_version = {
	.name = "version",
	.summary = "print the version",
	.args = "",
	.about = "Prints the version. With --json also the device protocol's and those of the libraries in use.",
	.example = "roost version --json",
	.options = options,
	.run = run,
};
