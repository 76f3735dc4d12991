/* libcurl, loaded by the first who is about to make an HTTP request instead of with the program.
 *
 * libcurl stands on some thirty libraries of its own (LDAP, Kerberos, SSH, RTMP). To map and bind them takes longer than
 * all the rest of a short command, and most commands, `roost --help` first among them, make no request. So nothing is
 * linked with libcurl: curl_load finds it, by the soname that the headers here were made for, and fills a table with
 * the functions of CURL_MAP. Below, their names are made to mean the table's, and calls look as they do everywhere else.
 *
 * What always holds
 *  - Include this, never <curl/curl.h>: a call that goes around the table does not link.
 *  - No curl_* function is called before curl_load has returned OK; one that is finds NULL. http_client_new loads it for
 *    whoever has a client.
 *  - The table is whole or empty: a library that lacks one of the functions is as good as none.
 *  - It stays loaded until the process ends. curl_global_init remains the caller's affair.
 *
 * curl_load from any thread; afterwards the table is only read. */
#ifndef ROOST_NET_CURL_H
#define ROOST_NET_CURL_H

#define CURL_DISABLE_TYPECHECK /* its checks are macros by the functions' own names; CURL_OPTION is ours */
#include <curl/curl.h>
#undef curl_easy_setopt /* macros there too, around the functions */
#undef curl_easy_getinfo
#undef curl_multi_setopt

#include "base/err.h"

/* Every function of libcurl that Roost calls; each also wants its #define below. */
#define CURL_MAP(X)                                                                                                    \
	X(global_init)                                                                                                 \
	X(global_cleanup)                                                                                              \
	X(version_info)                                                                                                \
	X(slist_append)                                                                                                \
	X(slist_free_all)                                                                                              \
	X(easy_init)                                                                                                   \
	X(easy_setopt)                                                                                                 \
	X(easy_getinfo)                                                                                                \
	X(easy_perform)                                                                                                \
	X(easy_pause)                                                                                                  \
	X(easy_strerror)                                                                                               \
	X(easy_cleanup)                                                                                                \
	X(multi_init)                                                                                                  \
	X(multi_setopt)                                                                                                \
	X(multi_add_handle)                                                                                            \
	X(multi_remove_handle)                                                                                         \
	X(multi_socket_action)                                                                                         \
	X(multi_assign)                                                                                                \
	X(multi_info_read)                                                                                             \
	X(multi_cleanup)

struct curl_table {
#define X(name) __typeof__(&curl_##name) name;
	CURL_MAP(X)
#undef X
};
extern struct curl_table libcurl;

/* OK at once when it is loaded. ERR_UNAVAILABLE, with what is missing and the package that has it, for ever after a
 * failure: whoever installs the package starts the program again. */
MUST_USE enum err curl_load(struct errinfo *info);

/* The value of an option goes through "...", where an int is not made a long and nobody notices. Options below
 * CURLOPTTYPE_OBJECTPOINT and from CURLOPTTYPE_OFF_T on take a long, those between a pointer; does not compile
 * otherwise. */
#define CURL_IS_LONG(value)                                                                                            \
	_Generic((value), long : 1, int : 2, unsigned : 2, unsigned long : 2, long long : 2, unsigned long long : 2,   \
		 short : 2, unsigned short : 2, char : 2, signed char : 2, unsigned char : 2, bool : 2, default : 0)
#define CURL_WANTS_LONG(option) ((option) < CURLOPTTYPE_OBJECTPOINT || (option) / CURLOPTTYPE_OFF_T == 1)
#define CURL_OPTION(option, value) ((void)sizeof(char[CURL_IS_LONG(value) == CURL_WANTS_LONG(option) ? 1 : -1]))

#define curl_easy_setopt(easy, option, value)                                                                          \
	(CURL_OPTION(option, value), libcurl.easy_setopt((easy), (option), (value)))
#define curl_multi_setopt(multi, option, value)                                                                        \
	(CURL_OPTION(option, value), libcurl.multi_setopt((multi), (option), (value)))
#define curl_global_init libcurl.global_init
#define curl_global_cleanup libcurl.global_cleanup
#define curl_version_info libcurl.version_info
#define curl_slist_append libcurl.slist_append
#define curl_slist_free_all libcurl.slist_free_all
#define curl_easy_init libcurl.easy_init
#define curl_easy_getinfo libcurl.easy_getinfo
#define curl_easy_perform libcurl.easy_perform
#define curl_easy_pause libcurl.easy_pause
#define curl_easy_strerror libcurl.easy_strerror
#define curl_easy_cleanup libcurl.easy_cleanup
#define curl_multi_init libcurl.multi_init
#define curl_multi_add_handle libcurl.multi_add_handle
#define curl_multi_remove_handle libcurl.multi_remove_handle
#define curl_multi_socket_action libcurl.multi_socket_action
#define curl_multi_assign libcurl.multi_assign
#define curl_multi_info_read libcurl.multi_info_read
#define curl_multi_cleanup libcurl.multi_cleanup

#endif
