/* tapegrad: tape-based reverse-mode automatic differentiation. This header is the whole library but
   for the short names, which <tapegrad/short.h> adds.

   Read on in: value.h (values, errors), tape.h (tapes, leaves, backward, reading), ops.h (every
   operation with one result), factors.h (those with several), expr.h (infix expressions),
   derivatives.h (higher orders, Jacobians, Hessians), custom.h (operations of your own), check.h
   (gradient checking), debug.h (paths, NaNs, blame, the tape as text and as a graph), program.h
   (compiled computations on batches), call.h (programs as operations, loops). */
#ifndef TAPEGRAD_H
#define TAPEGRAD_H

#include <tapegrad/attributes.h>
#include <tapegrad/call.h>
#include <tapegrad/check.h>
#include <tapegrad/custom.h>
#include <tapegrad/debug.h>
#include <tapegrad/derivatives.h>
#include <tapegrad/expr.h>
#include <tapegrad/factors.h>
#include <tapegrad/macros.h>
#include <tapegrad/ops.h>
#include <tapegrad/program.h>
#include <tapegrad/table.h>
#include <tapegrad/tape.h>
#include <tapegrad/value.h>

#endif
