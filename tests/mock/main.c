/* SPDX-License-Identifier: Apache-2.0 */
/* mock-broker [BROKERS]: the mock of mock.h as a program. Prints one line of JSON with its ports,
 * {"namesrv":"127.0.0.1:PORT","control":PORT,"brokers":{"broker-a":"127.0.0.1:PORT",...}}, takes
 * commands on standard input and on connections to the control port, and ends at `quit`, at the end
 * of its input or at SIGTERM. */
#include "mock_internal.h"

struct talk {
    struct talk *next;
    struct control *control;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } at;
    bool input; /* standard input; answers go to standard output */
    char chunk[4096];
    struct rmq_buf line;
};

struct control {
    uv_loop_t loop;
    struct mock *mock;
    uv_tcp_t server;
    uv_signal_t terminated;
    struct talk *talks;
    bool ended;
};

static void end(struct control *control);

static void on_talk_closed(uv_handle_t *handle)
{
    struct talk *talk = handle->data;
    struct talk **at = &talk->control->talks;
    while (*at != talk)
        at = &(*at)->next;
    *at = talk->next;
    rmq_buf_deinit(&talk->line);
    free(talk);
}

static void close_talk(struct talk *talk)
{
    if (!uv_is_closing(&talk->at.handle))
        uv_close(&talk->at.handle, on_talk_closed);
}

static void end(struct control *control)
{
    if (control->ended)
        return;
    control->ended = true;
    mock_stop(control->mock);
    uv_close((uv_handle_t *)&control->server, NULL);
    uv_close((uv_handle_t *)&control->terminated, NULL);
    for (struct talk *talk = control->talks; talk != NULL; talk = talk->next)
        close_talk(talk);
}

struct answer {
    uv_write_t request;
    struct rmq_buf bytes;
};

static void on_answered(uv_write_t *request, int status)
{
    struct answer *answer = request->data;
    (void)status;
    rmq_buf_deinit(&answer->bytes);
    free(answer);
}

static void carry_out(struct talk *talk, const char *line)
{
    struct answer *answer = mock_alloc(sizeof(*answer));
    rmq_buf_init(&answer->bytes, BUF_MAX);
    answer->request.data = answer;
    bool on = mock_command(talk->control->mock, line, &answer->bytes);
    uv_buf_t bytes = uv_buf_init(answer->bytes.data, (unsigned)answer->bytes.len);
    if (talk->input) {
        (void)fwrite(answer->bytes.data, 1, answer->bytes.len, stdout);
        (void)fflush(stdout);
        on_answered(&answer->request, 0);
    } else if (uv_write(&answer->request, &talk->at.stream, &bytes, 1, on_answered) != 0) {
        on_answered(&answer->request, 0);
    }
    if (!on)
        end(talk->control);
}

static void on_space(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct talk *talk = handle->data;
    (void)suggested;
    *ret = uv_buf_init(talk->chunk, sizeof(talk->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct talk *talk = stream->data;
    if (count < 0) {
        if (talk->input)
            end(talk->control);
        else
            close_talk(talk);
        return;
    }
    for (ssize_t i = 0; i < count && !talk->control->ended; i++) {
        if (buf->base[i] != '\n') {
            mock_put(&talk->line, &buf->base[i], 1);
            continue;
        }
        mock_put(&talk->line, "", 1);
        carry_out(talk, talk->line.data);
        talk->line.len = 0;
    }
}

static struct talk *new_talk(struct control *control)
{
    struct talk *talk = mock_alloc(sizeof(*talk));
    talk->control = control;
    talk->next = control->talks;
    control->talks = talk;
    rmq_buf_init(&talk->line, 1 << 16);
    return talk;
}

static void on_accept(uv_stream_t *server, int status)
{
    struct control *control = server->data;
    if (status != 0)
        return;
    struct talk *talk = new_talk(control);
    (void)uv_tcp_init(&control->loop, &talk->at.tcp);
    talk->at.handle.data = talk;
    if (uv_accept(server, &talk->at.stream) != 0 ||
        uv_read_start(&talk->at.stream, on_space, on_read) != 0)
        close_talk(talk);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    end(handle->data);
}

static void print_ports(struct control *control)
{
    struct sockaddr_in name;
    int len = sizeof(name);
    (void)uv_tcp_getsockname(&control->server, (struct sockaddr *)&name, &len);
    printf("{\"namesrv\":\"%s\",\"control\":%d,\"brokers\":{", mock_namesrv(control->mock),
           (name.sin_port & 0xFF) << 8 | name.sin_port >> 8);
    for (int i = 0; i < control->mock->broker_count; i++)
        printf("%s\"%s\":\"%s\"", i == 0 ? "" : ",", control->mock->brokers[i].name,
               control->mock->brokers[i].address);
    printf("}}\n");
    (void)fflush(stdout);
}

int main(int count, char **arguments)
{
    static struct control control;
    struct sockaddr_in name;
    long brokers = count > 1 ? strtol(arguments[1], NULL, 10) : 1;
    if (brokers < 1 || brokers > 8) {
        fprintf(stderr, "usage: mock-broker [BROKERS], 1 to 8\n");
        return 2;
    }
    if (uv_loop_init(&control.loop) != 0)
        return 1;
    control.mock = mock_start(&control.loop, (int)brokers);
    (void)uv_signal_init(&control.loop, &control.terminated);
    control.terminated.data = &control;
    (void)uv_signal_start(&control.terminated, on_signal, SIGTERM);
    (void)uv_tcp_init(&control.loop, &control.server);
    control.server.data = &control;
    if (uv_ip4_addr("127.0.0.1", 0, &name) != 0 ||
        uv_tcp_bind(&control.server, (struct sockaddr *)&name, 0) != 0 ||
        uv_listen((uv_stream_t *)&control.server, 16, on_accept) != 0) {
        fprintf(stderr, "mock-broker: cannot listen\n");
        return 1;
    }
    struct talk *input = new_talk(&control);
    input->input = true;
    if (uv_pipe_init(&control.loop, &input->at.pipe, 0) == 0) {
        input->at.handle.data = input;
        if (uv_pipe_open(&input->at.pipe, 0) != 0 ||
            uv_read_start(&input->at.stream, on_space, on_read) != 0)
            close_talk(input); /* a file or nothing: the control port is left */
    }
    print_ports(&control);
    (void)uv_run(&control.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&control.loop) == 0 ? 0 : 1;
}
