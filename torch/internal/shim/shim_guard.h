// How a shim function ends: NULL, or a message that the Go side frees.
#ifndef WILDTRAIN_SHIM_GUARD_H
#define WILDTRAIN_SHIM_GUARD_H
#include <c10/util/Exception.h>
#include <cstring>
#include <exception>

#define WT_TRY(...)                                                            \
  try {                                                                        \
    __VA_ARGS__;                                                               \
    return nullptr;                                                            \
  } catch (const c10::Error &e) {                                              \
    return strdup(e.what_without_backtrace());                                 \
  } catch (const std::exception &e) {                                          \
    return strdup(e.what());                                                   \
  } catch (...) {                                                              \
    return strdup("unknown C++ exception");                                    \
  }
#endif
