/* Checks as rows of a table, and their reports as text. */
#include <tapegrad/check.h>

#include <stdio.h>

static bool has_no_function(tg_check_report *report)
{
    tg_check_report unread;
    tg_check_report *const r = report ? report : &unread;
    *r = (tg_check_report){ .verdict = TG_FAILED, .element = -1 };
    return snprintf(r->message, sizeof r->message,
                    "failed: the row has no model, no function with its derivative, and no two "
                    "arrays") < 0;
}

bool tg_check_run(const tg_check_case *row, tg_check_report *report)
{
    tg_check_options o = row->options;
    if (!o.name) o.name = row->name;
    if (row->model)
        return tg_gradcheck(row->model, o.user, row->inputs, (int)row->n, &o, report);
    if (row->hvp) return tg_check_hvp(row->gradient, row->hvp, row->x, row->n, &o, report);
    if (row->f) return tg_check_gradient(row->f, row->gradient, row->x, row->n, &o, report);
    if (row->map)
        return tg_check_jacobian(row->map, row->jacobian, row->x, row->n, row->m, &o, report);
    if (row->got) return tg_check_match(row->got, row->expected, row->n, &o, report);
    return has_no_function(report);
}

int tg_check_describe(const tg_check_report *r, char *text, size_t size)
{
    char within[32] = "", numbers[160] = "";
    if (r->place[0] == 0 || r->checked + r->kinks + r->jumps == 0)
        return snprintf(text, size, "%s", r->message);
    if (r->error_estimate > 0) snprintf(within, sizeof within, ", within %.1e", r->error_estimate);
    if (r->verdict != TG_KINK && r->verdict != TG_JUMP)
        snprintf(numbers, sizeof numbers,
                 "\n    expected %.10g%s\n    got      %.10g, relative error %.1e", r->numeric,
                 within, r->analytic, r->relative_error);
    return snprintf(text, size, "%s at %s%s%s%s%s%s", tg_verdict_name(r->verdict), r->place, numbers,
                    r->reason[0] ? "\n    why      " : "", r->reason,
                    r->operation[0] ? "\n    where    " : "", r->operation);
}
