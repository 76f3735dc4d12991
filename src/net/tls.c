#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

struct tls_context {
	SSL_CTX *ssl;
};

struct tls {
	SSL *ssl;
	BIO *in, *out; /* owned by ssl */
};

/* The newest of OpenSSL's own complaints, for the errinfo. */
static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());
	return text != NULL ? text : "unknown reason";
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned n,
		       void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	(void)ssl, (void)arg;
	unsigned char *chosen;
	if (SSL_select_next_proto(&chosen, out_n, ours, sizeof ours - 1, in, n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static struct tls_context *context_new(const SSL_METHOD *method, struct errinfo *info)
{
	SSL_CTX *ssl = SSL_CTX_new(method);
	if (ssl == NULL) {
		(void)!err_set(info, ERR_NOMEM, "OpenSSL could not start: %s", reason());
		return NULL;
	}
	struct tls_context *ctx = xcalloc(1, sizeof *ctx);
	ctx->ssl = ssl;
	SSL_CTX_set_min_proto_version(ctx->ssl, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx->ssl,
			    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* Without its buffers an idle connection costs 16 KB instead of 25. */
	SSL_CTX_set_mode(ctx->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return ctx;
}

enum err tls_context_server(const char *cert_path, const char *key_path, struct tls_context **out, struct errinfo *info)
{
	ERR_clear_error();
	struct tls_context *ctx = context_new(TLS_server_method(), info);
	enum err e = OK;
	if (ctx == NULL) return ERR_NOMEM;
	SSL_CTX_set_alpn_select_cb(ctx->ssl, choose_alpn, NULL);
	if (SSL_CTX_use_certificate_chain_file(ctx->ssl, cert_path) != 1)
		e = err_set(info, ERR_CONFIG, "TLS certificate %s: %s", cert_path, reason());
	else if (SSL_CTX_use_PrivateKey_file(ctx->ssl, key_path, SSL_FILETYPE_PEM) != 1)
		e = err_set(info, ERR_CONFIG, "TLS key %s: %s", key_path, reason());
	else if (SSL_CTX_check_private_key(ctx->ssl) != 1)
		e = err_set(info, ERR_CONFIG, "TLS key %s does not belong to the certificate %s", key_path, cert_path);
	if (e != OK) {
		tls_context_free(ctx);
		return e;
	}
	*out = ctx;
	return OK;
}

enum err tls_context_client(const char *ca_path, struct tls_context **out, struct errinfo *info)
{
	ERR_clear_error();
	struct tls_context *ctx = context_new(TLS_client_method(), info);
	if (ctx == NULL) return ERR_NOMEM;
	SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_PEER, NULL);
	int ok = ca_path != NULL ? SSL_CTX_load_verify_file(ctx->ssl, ca_path)
				 : SSL_CTX_set_default_verify_paths(ctx->ssl);
	if (ok != 1) {
		tls_context_free(ctx);
		return err_set(info, ERR_CONFIG, "TLS certificates: %s", reason());
	}
	*out = ctx;
	return OK;
}

void tls_context_free(struct tls_context *ctx)
{
	if (ctx == NULL) return;
	SSL_CTX_free(ctx->ssl);
	free(ctx);
}

struct tls *tls_new(struct tls_context *ctx, const char *server_name)
{
	struct tls *t = xcalloc(1, sizeof *t);
	t->ssl = SSL_new(ctx->ssl);
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	if (t->ssl == NULL || t->in == NULL || t->out == NULL) {
		BIO_free(t->in);
		BIO_free(t->out);
		goto failed;
	}
	BIO_set_mem_eof_return(t->in, -1); /* empty means "later", not "end" */
	BIO_set_mem_eof_return(t->out, -1);
	SSL_set_bio(t->ssl, t->in, t->out);
	if (server_name == NULL) {
		SSL_set_accept_state(t->ssl);
		return t;
	}
	SSL_set_connect_state(t->ssl);
	if (SSL_set_tlsext_host_name(t->ssl, server_name) == 1 && SSL_set1_host(t->ssl, server_name) == 1) return t;
failed:
	tls_free(t);
	return NULL;
}

void tls_free(struct tls *t)
{
	if (t == NULL) return;
	SSL_free(t->ssl);
	free(t);
}

bool tls_feed(struct tls *t, const char *p, size_t n) { return BIO_write(t->in, p, (int)n) == (int)n; }

enum tls_result tls_read(struct tls *t, char *out, size_t cap, size_t *out_n)
{
	ERR_clear_error();
	int n = SSL_read(t->ssl, out, (int)MIN(cap, (size_t)INT32_MAX));
	*out_n = n > 0 ? (size_t)n : 0;
	if (n > 0) return TLS_DATA;
	switch (SSL_get_error(t->ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE: return TLS_MORE;
	case SSL_ERROR_ZERO_RETURN: return TLS_END;
	default: return TLS_BAD;
	}
}

bool tls_is_ready(const struct tls *t) { return SSL_is_init_finished(t->ssl) == 1; }

bool tls_write(struct tls *t, const char *p, size_t n)
{
	ASSERT_CMP(n, <=, TLS_RECORD_BYTES);
	ERR_clear_error();
	return SSL_write(t->ssl, p, (int)n) == (int)n;
}

void tls_goodbye(struct tls *t)
{
	ERR_clear_error();
	if (tls_is_ready(t)) SSL_shutdown(t->ssl);
}

struct str tls_out(struct tls *t)
{
	char *p;
	long n = BIO_get_mem_data(t->out, &p);
	return str_n(p, n > 0 ? (size_t)n : 0);
}

void tls_out_drop(struct tls *t, size_t n)
{
	char sink[4096];
	while (n > 0) {
		int k = BIO_read(t->out, sink, (int)MIN(n, sizeof sink));
		if (k <= 0) return;
		n -= (size_t)k;
	}
}
