/* Running gnuplot. It reads from a socket, because sending to a socket can be done without SIGPIPE,
   and what it prints comes back through two more: a picture is complete before its file is
   touched. */
#define _POSIX_C_SOURCE 200809L /* posix_spawn */
#include "inner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { IN, OUT, ERR, CHANNELS };

/* A running gnuplot. */
typedef struct run {
    pid_t child;
    int ours[CHANNELS];   /* our ends; -1: closed */
    int theirs[CHANNELS]; /* gnuplot's ends, until it has them */
} run;

static void close_all(int file[CHANNELS])
{
    for (int i = 0; i < CHANNELS; i++) {
        if (file[i] >= 0) close(file[i]);
        file[i] = -1;
    }
}

/* A channel whose ends lie above the standard ones, which gnuplot's are to become. */
static bool open_channel(int *ours, int *theirs)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) return false;
    *ours = fcntl(ends[0], F_DUPFD_CLOEXEC, 3);
    *theirs = fcntl(ends[1], F_DUPFD_CLOEXEC, 3);
    const int error = errno;
    close(ends[0]);
    close(ends[1]);
    errno = error;
    return *ours >= 0 && *theirs >= 0;
}

static int spawn(run *r, char *const *argv)
{
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    for (int i = 0; i < CHANNELS && !error; i++)
        error = posix_spawn_file_actions_adddup2(&actions, r->theirs[i], i);
    if (!error) error = posix_spawnp(&r->child, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static bool start(run *r, bool version, tg_status *status)
{
    char name[] = "gnuplot", ask[] = "--version", defaults[] = "--default-settings";
    /* From its standard input gnuplot would read byte by byte. */
    char execute[] = "-e", load[] = "load '<cat'";
    char *const asking[] = { name, ask, NULL };
    char *const drawing[] = { name, defaults, execute, load, NULL };
    char *const *argv = version ? asking : drawing;
    int error = 0;
    *r = (run){ .ours = { -1, -1, -1 }, .theirs = { -1, -1, -1 } };
    for (int i = 0; i < CHANNELS && !error; i++)
        if (!open_channel(&r->ours[i], &r->theirs[i])) error = errno;
    if (!error) error = spawn(r, argv);
    close_all(r->theirs);
    if (!error) return true;
    close_all(r->ours);
    if (error == ENOENT)
        return tg__plot_fail(status, TG_ERROR_FILE, "gnuplot was not found: is it installed?");
    errno = error;
    return tg__plot_errno(status, "gnuplot", "cannot be run");
}

static void close_one(int *file)
{
    close(*file);
    *file = -1;
}

/* Sends more of the script. A gnuplot that does not listen any more says why otherwise. */
static void send_more(run *r, const tg__bytes *script, size_t *sent)
{
    const ssize_t n =
        send(r->ours[IN], script->data + *sent, script->n - *sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)) return;
    *sent = n < 0 ? script->n : *sent + (size_t)n;
    if (*sent == script->n) close_one(&r->ours[IN]);
}

static void receive_more(int *file, tg__bytes *to)
{
    char part[1 << 14];
    const ssize_t n = recv(*file, part, sizeof part, MSG_DONTWAIT);
    if (n > 0) tg__put_bytes(to, part, (size_t)n);
    else if (n == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) close_one(file);
}

/* Until gnuplot has closed its ends. */
static void talk(run *r, const tg__bytes *script, tg__bytes *out, tg__bytes *complaints)
{
    size_t sent = 0;
    if (!script || script->n == 0) close_one(&r->ours[IN]);
    while (r->ours[OUT] >= 0 || r->ours[ERR] >= 0) {
        struct pollfd files[CHANNELS] = { { r->ours[IN], POLLOUT, 0 },
                                          { r->ours[OUT], POLLIN, 0 },
                                          { r->ours[ERR], POLLIN, 0 } };
        if (poll(files, CHANNELS, -1) < 0 && errno != EINTR) break;
        if (r->ours[IN] >= 0 && files[IN].revents) send_more(r, script, &sent);
        if (r->ours[OUT] >= 0 && files[OUT].revents) receive_more(&r->ours[OUT], out);
        if (r->ours[ERR] >= 0 && files[ERR].revents) receive_more(&r->ours[ERR], complaints);
    }
    close_all(r->ours);
}

/* What gnuplot says went wrong: of its lines, the first that names one of the script, without the
   name that it has for that; or else the first one. */
static void find_reason(const char *text, char *reason, size_t room)
{
    static const char script[] = "\"<cat\" ";
    const char *found = text ? strstr(text, script) : NULL;
    found = found ? found + sizeof script - 1 : text ? text + strspn(text, " \t\n") : "";
    snprintf(reason, room, "%.*s", (int)strcspn(found, "\n"), found);
}

bool tg__gnuplot_run(const tg__bytes *script, tg__bytes *out, tg_status *status)
{
    run r;
    if (!start(&r, !script, status)) return false;
    tg__bytes complaints = { 0 };
    talk(&r, script, out, &complaints);
    char reason[256];
    find_reason(complaints.data, reason, sizeof reason);
    free(complaints.data);
    int how = 0;
    while (waitpid(r.child, &how, 0) < 0)
        if (errno != EINTR) return true; /* somebody else waits for all children */
    if (WIFSIGNALED(how))
        return tg__plot_fail(status, TG_ERROR_FILE, "gnuplot was killed by signal %d",
                             WTERMSIG(how));
    if (WEXITSTATUS(how))
        return tg__plot_fail(status, TG_ERROR_FILE, "gnuplot failed with status %d%s%s",
                             WEXITSTATUS(how), *reason ? ": " : "", reason);
    return true;
}

bool tg_plot_gnuplot(tg_status *status)
{
    tg__bytes version = { 0 };
    bool good = tg__gnuplot_run(NULL, &version, status);
    int major = 0, minor = 0;
    if (good && (!version.data || sscanf(version.data, "gnuplot %d.%d", &major, &minor) != 2))
        good = tg__plot_fail(status, TG_ERROR_FILE, "gnuplot does not say which version it is");
    if (good && major < 5)
        good = tg__plot_fail(status, TG_ERROR_FILE, "gnuplot %d.%d is too old: 5.0 is needed",
                             major, minor);
    free(version.data);
    return good;
}
