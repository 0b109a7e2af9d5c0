/* tapegrad for C++17: operators and functions on the same library, header only.

       tg::tape t;
       tg::value a = t.scalar(-3), b = t.scalar(2);
       tg::value L = square(a * b + pow(b, 3)) + 10 / relu(3 * b - a);
       if (L.backward()) std::printf("%g %g\n", a.grad_item(), b.grad_item());

   A tg::value is a tg_value and converts to one and back, so that everything of tapegrad.h can be
   called too. Operands are values or numbers, on either side. Functions, tg::tanh and so on, are
   found without their namespace; comparisons are operations that give 0 or 1. Every operation knows
   the file and line of its call. Attributes are structs with the defaults of attributes.h:
   sum(x, { .axis = 1 }) from C++20 on (gcc and clang take it in C++17), sum(x, { 1 }) before.

   Errors stay on the tape, as in C. With TAPEGRAD_EXCEPTIONS defined before this header they are
   thrown as tg::failure instead, taken off the tape, and not printed. */
#ifndef TAPEGRAD_HPP
#define TAPEGRAD_HPP

#include <cmath>
#include <initializer_list>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>
#ifdef TAPEGRAD_EXCEPTIONS
#include <stdexcept>
#include <string>
#endif

#include <tapegrad.h>

namespace tg {

#ifdef TAPEGRAD_EXCEPTIONS
inline namespace throwing { /* programs may be linked of parts with exceptions and parts without */
#else
inline namespace quiet {
#endif

class tape;
class value;
struct operand;

/* ---- errors ---------------------------------------------------------------------------------- */

#ifdef TAPEGRAD_EXCEPTIONS
/* A tape's error; what() is its whole message. */
class failure : public std::runtime_error {
  public:
    explicit failure(const tg_error &e)
        : std::runtime_error(e.message), code(e.code), file(e.file ? e.file : ""), line(e.line)
    {
    }
    tg_code code;
    std::string file; /* empty and 0: the call was made without a position */
    int line;
};
#endif

namespace detail {

/* Throws the tape's error, if it has one and exceptions were asked for. */
inline void check([[maybe_unused]] tg_tape *t)
{
#ifdef TAPEGRAD_EXCEPTIONS
    const tg_error *const e = t ? tg_error_of(t) : nullptr;
    if (!e) return;
    const failure f(*e);
    tg_error_clear(t);
    throw f;
#endif
}

template <class T> T checked(tg_tape *t, T result)
{
    check(t);
    return result;
}

template <class T> constexpr tg_type type_of()
{
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool> && sizeof(T) <= 8,
                  "elements are double, float or integers");
    if constexpr (std::is_floating_point_v<T>) return sizeof(T) == 4 ? TG_F32 : TG_F64;
    else if constexpr (std::is_signed_v<T>)
        return sizeof(T) == 1   ? TG__I8
               : sizeof(T) == 2 ? TG__I16
               : sizeof(T) == 4 ? TG__I32
                                : TG_I64;
    else
        return sizeof(T) == 1   ? TG__U8
               : sizeof(T) == 2 ? TG__U16
               : sizeof(T) == 4 ? TG__U32
                                : TG__U64;
}

template <class T> constexpr size_t bytes_of()
{
    static_assert(std::is_integral_v<T>, "indices are integers");
    return sizeof(T) + (std::is_unsigned_v<T> ? size_t(TG_UNSIGNED) : 0);
}

} // namespace detail

/* ---- values ---------------------------------------------------------------------------------- */

/* Lengths of axes: { 3, 2 }, of any integer types; {} is a scalar's. */
class shape {
  public:
    template <class... N, class = std::enable_if_t<(std::is_integral_v<N> && ...)>>
    shape(N... n) : rank_(int(sizeof...(N))), dim_{ static_cast<int64_t>(n)... }
    {
        static_assert(sizeof...(N) <= TG_MAX_RANK, "no more than TG_MAX_RANK axes");
    }
    int rank() const { return rank_; }
    const int64_t *data() const { return dim_; }

  private:
    int rank_;
    int64_t dim_[TG_MAX_RANK];
};

/* For attributes that name several axes: sum(x, { .axes = tg::axes(0, 2) }). */
template <class... N> constexpr tg_axes axes(N... axis)
{
    static_assert(sizeof...(N) <= TG_MAX_RANK, "no more than TG_MAX_RANK axes");
    return { int(sizeof...(N)), { static_cast<int>(axis)... } };
}

/* A scalar or a tensor on a tape: a handle, copied like a pointer. */
class value {
  public:
    value() : c_{ nullptr, 0, 0 } {}
    value(tg_value c) : c_(c) {}
    operator tg_value() const { return c_; }

    /* Whether there is none: operations that fail give null values. */
    bool is_null() const { return !c_.generation; }

    int rank() const { return tg_rank(c_); }
    int64_t dim(int axis) const { return tg_dim(c_, axis); }
    int64_t size() const { return tg_size(c_); }

    double item() const { return detail::checked(c_.tape, tg_item(c_)); }
    double grad_item() const { return detail::checked(c_.tape, tg_grad_item(c_)); }
    const double *data() const { return detail::checked(c_.tape, tg_data(c_)); }
    const double *grad() const { return detail::checked(c_.tape, tg_grad(c_)); }

    /* Copies of the elements and of the gradient, whatever type and strides; empty where tg_read and
       tg_grad_read fail. */
    std::vector<double> read() const { return copy(tg_read); }
    std::vector<double> grad_read() const { return copy(tg_grad_read); }

    /* For an optimiser's step. */
    double *edit() const { return detail::checked(c_.tape, tg_edit(c_)); }

    /* n elements at data, or those of a container. */
    template <class T>
    bool set(const T *data, size_t n, const char *file = __builtin_FILE(),
             int line = __builtin_LINE()) const
    {
        const tg_site site = { file, line };
        return detail::checked(c_.tape, tg_set_data(c_, detail::type_of<T>(), data, n, &site));
    }
    template <class C, class = decltype(std::declval<const C &>().data())>
    bool set(const C &from, const char *file = __builtin_FILE(), int line = __builtin_LINE()) const
    {
        return set(from.data(), from.size(), file, line);
    }

    value name(const char *name) const { return tg_name(c_, name); }
    bool want_gradient(bool wanted = true) const
    {
        return detail::checked(c_.tape, tg_want_gradient(c_, wanted));
    }
    value detach(const char *file = __builtin_FILE(), int line = __builtin_LINE()) const
    {
        const tg_site site = { file, line };
        return detail::checked(c_.tape, tg_detach_at(c_, &site));
    }

    bool backward() const { return detail::checked(c_.tape, tg_backward(c_)); }
    bool backward(const tg_backward_options &options) const
    {
        return detail::checked(c_.tape, tg_backward_with(c_, &options));
    }
    bool forward() const { return detail::checked(c_.tape, tg_forward(c_)); }

    value &operator+=(const operand &b);
    value &operator-=(const operand &b);
    value &operator*=(const operand &b);
    value &operator/=(const operand &b);

  private:
    std::vector<double> copy(bool (*from)(tg_value, double *, size_t)) const
    {
        std::vector<double> x(static_cast<size_t>(size() > 0 ? size() : 0));
        if (!from(c_, x.data(), x.size())) x.clear();
        detail::check(c_.tape);
        return x;
    }
    tg_value c_;
};

/* What operations take: a value or a number, and the place of the call, noted as it is converted. */
struct operand {
    operand(const value &v, const char *file = __builtin_FILE(), int line = __builtin_LINE())
        : c(v), site{ file, line }
    {
    }
    operand(tg_value v, const char *file = __builtin_FILE(), int line = __builtin_LINE())
        : c(v), site{ file, line }
    {
    }
    template <class N, class = std::enable_if_t<std::is_arithmetic_v<N>>>
    operand(N x, const char *file = __builtin_FILE(), int line = __builtin_LINE())
        : c(tg__of_number(static_cast<double>(x))), site{ file, line }
    {
    }
    tg_value c;
    tg_site site;
};

/* Any number of values: { a, b, c }, or a container of them. */
struct operands {
    operands(std::initializer_list<value> v, const char *file = __builtin_FILE(),
             int line = __builtin_LINE())
        : c(v.begin(), v.end()), site{ file, line }
    {
    }
    template <class C, class = decltype(std::declval<const C &>().begin())>
    operands(const C &v, const char *file = __builtin_FILE(), int line = __builtin_LINE())
        : c(v.begin(), v.end()), site{ file, line }
    {
    }
    int count() const { return static_cast<int>(c.size()); }
    std::vector<tg_value> c;
    tg_site site;
};

namespace detail {

/* The result of an operation, which lies on its operands' tape even if it failed. */
inline value made(tg_value y)
{
#ifdef TAPEGRAD_EXCEPTIONS
    if (!y.tape)
        throw failure({ TG_ERROR_HANDLE, "an operation on null values", nullptr, 0, nullptr });
#endif
    return checked(y.tape, y);
}

template <class... N> tg_list_attributes list_of(N... n)
{
    static_assert(sizeof...(N) <= TG_MAX_RANK, "no more than TG_MAX_RANK numbers");
    return { int(sizeof...(N)), { static_cast<int64_t>(n)... } };
}

inline tg_einsum_attributes equation_of(const char *text)
{
    tg_einsum_attributes a = {};
    for (int i = 0; i < TG_EQUATION && text[i]; i++) a.equation[i] = text[i];
    return a;
}

} // namespace detail

#include <tapegrad/cpp.inl>

inline value operator+(const operand &a, const operand &b)
{
    return add(a, b);
}
inline value operator-(const operand &a, const operand &b)
{
    return sub(a, b);
}
inline value operator*(const operand &a, const operand &b)
{
    return mul(a, b);
}
inline value operator/(const operand &a, const operand &b)
{
    return div(a, b);
}
inline value operator-(const operand &x)
{
    return neg(x);
}
inline value operator+(const value &x)
{
    return x;
}
inline value operator==(const operand &a, const operand &b)
{
    return eq(a, b);
}
inline value operator!=(const operand &a, const operand &b)
{
    return ne(a, b);
}
inline value operator<(const operand &a, const operand &b)
{
    return lt(a, b);
}
inline value operator<=(const operand &a, const operand &b)
{
    return le(a, b);
}
inline value operator>(const operand &a, const operand &b)
{
    return gt(a, b);
}
inline value operator>=(const operand &a, const operand &b)
{
    return ge(a, b);
}

inline value &value::operator+=(const operand &b)
{
    return *this = add({ *this, b.site.file, b.site.line }, b);
}
inline value &value::operator-=(const operand &b)
{
    return *this = sub({ *this, b.site.file, b.site.line }, b);
}
inline value &value::operator*=(const operand &b)
{
    return *this = mul({ *this, b.site.file, b.site.line }, b);
}
inline value &value::operator/=(const operand &b)
{
    return *this = div({ *this, b.site.file, b.site.line }, b);
}

/* ---- tapes ----------------------------------------------------------------------------------- */

/* A tape, freed at the end of its scope; it can be moved, not copied, and converts to tg_tape *. */
class tape {
  public:
    explicit tape(const tg_tape_options &options = {}) : c_(make(options), tg_tape_free) {}
    operator tg_tape *() const { return c_.get(); }

    /* Leaves over a copy of data: a pointer with a shape, or a container, whose size has to fit.
       nullptr: zeros. */
    template <class D>
    value param(const D &data, const shape &s = {}, const char *file = __builtin_FILE(),
                int line = __builtin_LINE()) const
    {
        return leaf(TG_PARAMETER, data, s, { file, line });
    }
    template <class D>
    value input(const D &data, const shape &s = {}, const char *file = __builtin_FILE(),
                int line = __builtin_LINE()) const
    {
        return leaf(TG_INPUT, data, s, { file, line });
    }
    template <class D>
    value constant(const D &data, const shape &s = {}, const char *file = __builtin_FILE(),
                   int line = __builtin_LINE()) const
    {
        return leaf(TG_CONSTANT, data, s, { file, line });
    }

    /* Integers: labels, rows, positions. */
    template <class T>
    value index(const T *data, const shape &s = {}, const char *file = __builtin_FILE(),
                int line = __builtin_LINE()) const
    {
        const tg_site site = { file, line };
        return made(tg_index_new(*this, detail::bytes_of<T>(), data, s.rank(), s.data(), &site));
    }
    template <class C, class T = std::remove_const_t<
                           std::remove_pointer_t<decltype(std::declval<const C &>().data())>>>
    value index(const C &from, const char *file = __builtin_FILE(),
                int line = __builtin_LINE()) const
    {
        return index(from.data(), { from.size() }, file, line);
    }

    value scalar(double x, const char *file = __builtin_FILE(), int line = __builtin_LINE()) const
    {
        const tg_site site = { file, line };
        return made(tg_scalar_new(*this, x, &site));
    }
    value number(double x, const char *file = __builtin_FILE(), int line = __builtin_LINE()) const
    {
        const tg_site site = { file, line };
        return made(tg_number_new(*this, x, &site));
    }
    value full(double x, const shape &s, const char *file = __builtin_FILE(),
               int line = __builtin_LINE()) const
    {
        const tg_site site = { file, line };
        return made(tg_full_new(*this, x, s.rank(), s.data(), &site));
    }
    value zeros(const shape &s, const char *file = __builtin_FILE(),
                int line = __builtin_LINE()) const
    {
        return full(0, s, file, line);
    }
    value ones(const shape &s, const char *file = __builtin_FILE(),
               int line = __builtin_LINE()) const
    {
        return full(1, s, file, line);
    }
    value uniform(uint64_t seed, double lo, double hi, const shape &s,
                  const char *file = __builtin_FILE(), int line = __builtin_LINE()) const
    {
        const tg_site site = { file, line };
        return made(tg_uniform_new(*this, seed, lo, hi, s.rank(), s.data(), &site));
    }
    value normal(uint64_t seed, double mean, double std, const shape &s,
                 const char *file = __builtin_FILE(), int line = __builtin_LINE()) const
    {
        const tg_site site = { file, line };
        return made(tg_normal_new(*this, seed, mean, std, s.rank(), s.data(), &site));
    }

    tg_mark mark() const { return tg_tape_mark(*this); }
    void reset() const { tg_reset(*this); }

    /* The first error, or nullptr. */
    const tg_error *error() const { return tg_error_of(*this); }
    void clear_error() const { tg_error_clear(*this); }
    tg_tape_stats stats() const { return tg_stats(*this); }

  private:
    static tg_tape *make([[maybe_unused]] tg_tape_options options)
    {
#ifdef TAPEGRAD_EXCEPTIONS
        if (!options.on_error) options.on_error = tg_ignore_error;
        tg_tape *const t = tg_tape_new(&options);
        if (!t) throw std::bad_alloc();
        return t;
#else
        return tg_tape_new(&options);
#endif
    }
    value made(tg_value v) const
    {
        return detail::checked(c_.get(), v);
    }
    value leaf(tg_leaf kind, std::nullptr_t, const shape &s, tg_site site) const
    {
        return made(tg_leaf_new(*this, kind, TG_F64, nullptr, s.rank(), s.data(), &site));
    }
    template <class T> value leaf(tg_leaf kind, T *data, const shape &s, tg_site site) const
    {
        static_assert(std::is_floating_point_v<T>, "double or float; integers are an index");
        return made(tg_leaf_new(*this, kind, detail::type_of<std::remove_const_t<T>>(), data,
                                s.rank(), s.data(), &site));
    }
    template <class C, class = decltype(std::declval<const C &>().data())>
    value leaf(tg_leaf kind, const C &from, const shape &s, tg_site site) const
    {
        const value v = leaf(kind, nullptr, s, site);
        return v.set(from, site.file, site.line) ? v : value();
    }

    std::unique_ptr<tg_tape, void (*)(tg_tape *)> c_;
};

/* Takes back, at the end of its scope, what was recorded since its beginning: the body of a training
   loop begins with  tg::step s(t); */
class step {
  public:
    explicit step(const tape &t) : mark_(t.mark()) {}
    ~step() { tg_release(mark_); }
    step(const step &) = delete;
    step &operator=(const step &) = delete;

  private:
    tg_mark mark_;
};

/* No gradient flows through what is recorded in its scope. */
class no_grad {
  public:
    explicit no_grad(const tape &t) : tape_(t) { tg_no_grad_begin(tape_); }
    ~no_grad() { tg_no_grad_end(tape_); }
    no_grad(const no_grad &) = delete;
    no_grad &operator=(const no_grad &) = delete;

  private:
    tg_tape *tape_;
};

} // namespace
} // namespace tg
#endif
