/* Recognises site keys by the suffix of their name. */

#include <string.h>

#include "classifier_plugin.h"

static const char SUFFIX[] = ".sitekey";
enum { LENGTH = sizeof SUFFIX - 1 };

bool exports_crypto_tracer_plugin_classifier_configure(
    classifier_plugin_string_t *config,
    exports_crypto_tracer_plugin_classifier_borrow_interest_t interest,
    classifier_plugin_string_t *error) {
  /* The plugin has no configuration. The tracer prints the error and does not start. */
  bool empty = config->len == 2 && memcmp(config->ptr, "{}", 2) == 0;
  classifier_plugin_string_free(config);
  if (!empty) {
    classifier_plugin_string_dup(error, "this plugin has nothing to configure");
    return false;
  }
  /* The kernel reports only files in the interest of a classifier. */
  classifier_plugin_string_t suffix;
  classifier_plugin_string_set(&suffix, SUFFIX);
  crypto_tracer_plugin_events_method_interest_file_suffix(interest, &suffix);
  return true;
}

bool exports_crypto_tracer_plugin_classifier_classify(
    exports_crypto_tracer_plugin_classifier_borrow_file_t file,
    exports_crypto_tracer_plugin_classifier_verdict_t *verdict) {
  classifier_plugin_list_u8_t path;
  crypto_tracer_plugin_events_method_file_path_bytes(file, &path);
  bool known = path.len >= LENGTH && memcmp(path.ptr + path.len - LENGTH, SUFFIX, LENGTH) == 0;
  classifier_plugin_list_u8_free(&path);
  if (!known) {
    return false; /* No opinion: the host calls the next classifier. */
  }
  memset(verdict, 0, sizeof *verdict);
  verdict->file_type.is_some = true;
  verdict->file_type.val.tag = EXPORTS_CRYPTO_TRACER_PLUGIN_CLASSIFIER_FILE_TYPE_OTHER;
  classifier_plugin_string_dup(&verdict->file_type.val.val.other, "site_key");
  return true;
}
