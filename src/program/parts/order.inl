/* Orders of the elements of a line: see math.inl. */

/* whether x[a] comes before x[b]: NaN is the largest of all, and equal ones stay as they stand */
static bool NAME_before(const real *x, int a, int b, bool falling)
{
    const bool less = x[a] < x[b] || (x[b] != x[b] && x[a] == x[a]);
    const bool more = x[a] > x[b] || (x[a] != x[a] && x[b] == x[b]);
    if (!less && !more) return a < b;
    return falling ? more : less;
}

/* moves at[i] down a heap of n positions whose top comes last */
static void NAME_sink(const real *x, bool falling, int n, int *at, int i)
{
    for (int child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && NAME_before(x, at[child], at[child + 1], falling)) child++;
        if (!NAME_before(x, at[i], at[child], falling)) return;
        const int moved = at[i];
        at[i] = at[child];
        at[child] = moved;
        i = child;
    }
}

/* the positions of x's n elements in order */
static void NAME_sort(int n, const real *x, bool falling, int *at)
{
    for (int i = 0; i < n; i++) at[i] = i;
    for (int i = n / 2; i-- > 0;) NAME_sink(x, falling, n, at, i);
    for (int i = n - 1; i > 0; i--) {
        const int last = at[0];
        at[0] = at[i];
        at[i] = last;
        NAME_sink(x, falling, i, at, 0);
    }
}

/* the positions of the two elements in the middle, which may be one, to at[0] and at[1]; of the
   first NaN if there is any. at: room for n, and for two */
static void NAME_middle(int n, const real *x, int *at)
{
    NAME_sort(n, x, false, at);
    int numbers = n;
    while (numbers > 0 && x[at[numbers - 1]] != x[at[numbers - 1]]) numbers--;
    const int a = numbers < n ? at[numbers] : at[(n - 1) / 2];
    const int b = numbers < n ? a : at[n / 2];
    at[0] = a;
    at[1] = b;
}

/* the mean of the elements in the middle */
static real NAME_median(int n, const real *x, int *at)
{
    NAME_middle(n, x, at);
    const real a = x[at[0]], b = x[at[1]];
    const double sum = (double)a + (double)b, halves = (double)a / 2 + (double)b / 2;
    return at[0] == at[1] ? a : (real)(isfinite(sum) ? sum / 2 : halves);
}
