/* Asks the daemon one thing and prints the answer as it is made:
 *
 *     roost_example FILE URL CODE "What is a roost?"
 *
 * FILE is kept: from the second time on no code is needed (give ""). */
#include <roost.h>
#include <stdio.h>
#include <string.h>

struct app {
	roost *c;
	char conversation[256]; /* of our message, once it is known */
	char message[ROOST_ID_SIZE];
	int is_over;
};

static void on_event(void *ctx, const roost_event *e)
{
	struct app *app = ctx;
	switch (e->kind) {
	case ROOST_EV_PAIRED:
	case ROOST_EV_STOPPED:
		if (e->error == ROOST_OK) break;
		fprintf(stderr, "%s\n", e->sentence);
		app->is_over = 1;
		break;
	case ROOST_EV_OFFLINE: fprintf(stderr, "(offline: %s)\n", e->sentence); break;
	case ROOST_EV_ENTRY: /* our message: on its way, there, or waiting for a decision */
		if (strcmp(e->entry->name, app->message) != 0) break;
		if (e->entry->state == ROOST_HELD) fprintf(stderr, "not sent: %s\n", e->entry->sentence);
		if (e->entry->state == ROOST_HELD) app->is_over = 1;
		if (e->entry->state == ROOST_GONE) roost_join(app->c, e->entry->conversation); /* its answer, live */
		break;
	case ROOST_EV_TEXT: fwrite(e->text, 1, e->text_size, stdout); break;
	case ROOST_EV_END:
		printf("\n");
		if (e->error != ROOST_OK) fprintf(stderr, "no answer: %s\n", e->sentence);
		app->is_over = 1;
		break;
	default: break;
	}
	fflush(stdout);
	if (app->is_over) roost_break(app->c);
}

int main(int argc, char **argv)
{
	struct app app = {0};
	if (argc != 5) return 64;
	roost_options options = {
		.size = sizeof options,
		.path = argv[1],
		.url = argv[2],
		.code = argv[3][0] != '\0' ? argv[3] : NULL,
		.name = "example",
		.platform = "c",
		.event = on_event,
		.ctx = &app,
	};
	roost_message message = {.size = sizeof message, .text = argv[4], .request = "{}"};
	int r = roost_open(&options, &app.c);
	if (r == ROOST_OK) r = roost_send(app.c, &message, app.message); /* kept, whether there is a daemon or not */
	while (r == ROOST_OK && !app.is_over) r = roost_run(app.c, 1000);
	if (r != ROOST_OK) fprintf(stderr, "%s\n", roost_last_error());
	roost_close(app.c);
	return r != ROOST_OK;
}
