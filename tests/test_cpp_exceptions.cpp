/* The part of test_cpp.cpp that asks for exceptions, in one program with a part that does not. */
#define TAPEGRAD_EXCEPTIONS
#include <tapegrad.hpp>

#include <string>

bool throws_what_went_wrong();

bool throws_what_went_wrong()
{
    tg::tape t;
    const tg::value x = t.input(nullptr, { 3, 2 }), y = t.input(nullptr, { 2 });
    int line = 0, thrown = 0;
    try {
        line = __LINE__, matmul(x, 2 * x);
    } catch (const tg::failure &e) {
        thrown += e.code == TG_ERROR_SHAPE && e.line == line && e.file == __FILE__ &&
                  std::string(e.what()).find("matmul: shapes (3, 2) and (3, 2) do not agree") !=
                      std::string::npos;
    }
    try {
        tg::stack({ x, y });
    } catch (const tg::failure &e) {
        thrown += e.code == TG_ERROR_SHAPE;
    }
    try {
        t.param(std::vector<double>{ 1, 2, 3 }, { 2 });
    } catch (const tg::failure &) {
        thrown++;
    }
    try {
        x.backward();
    } catch (const tg::failure &) {
        thrown++;
    }
    try {
        x.item();
    } catch (const tg::failure &) {
        thrown++;
    }
    return thrown == 5 && !t.error() && sum(x + y).item() == 0; /* the tape works on */
}
