/* Hides every text that names a customer: a path or a command line with the directory of the customers. */

#include <string.h>

#include "redactor_plugin.h"

static const char DIRECTORY[] = "/srv/customers/";
enum { LENGTH = sizeof DIRECTORY - 1 };

static bool names_customer(const redactor_plugin_string_t *text) {
  for (size_t at = 0; at + LENGTH <= text->len; at++) {
    if (memcmp(text->ptr + at, DIRECTORY, LENGTH) == 0) {
      return true;
    }
  }
  return false;
}

bool exports_crypto_tracer_plugin_redactor_configure(redactor_plugin_string_t *config,
                                                     redactor_plugin_string_t *error) {
  /* The plugin has no configuration. The tracer prints the error and does not start. */
  bool empty = config->len == 2 && memcmp(config->ptr, "{}", 2) == 0;
  redactor_plugin_string_free(config);
  if (!empty) {
    redactor_plugin_string_dup(error, "this plugin has nothing to configure");
  }
  return empty;
}

bool exports_crypto_tracer_plugin_redactor_redact(
    exports_crypto_tracer_plugin_redactor_borrow_text_t text,
    redactor_plugin_string_t *redacted) {
  redactor_plugin_string_t value;
  crypto_tracer_plugin_events_method_text_value(text, &value);
  bool hidden = names_customer(&value);
  redactor_plugin_string_free(&value);
  if (hidden) {
    redactor_plugin_string_dup(redacted, "[REDACTED]");
  }
  return hidden; /* False leaves the text unchanged. */
}
