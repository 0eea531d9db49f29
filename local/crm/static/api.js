// Calls the functions with the signed-in user's token. Every failure is an ApiError with the problem's stable code.

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
    this.status = status;
    this.code = problem.code ?? "unknown";
  }
}

export class Api {
  constructor(urls, token) {
    this.urls = urls;
    this.token = token;
  }

  async fetch(functionName, method, path, { body, headers = {} } = {}) {
    const isForm = body instanceof FormData;
    const response = await fetch(`${this.urls[functionName]}${path}`, {
      method,
      headers: {
        Authorization: `Bearer ${this.token}`,
        ...(body && !isForm ? { "Content-Type": "application/json" } : {}),
        ...headers,
      },
      body: body && !isForm ? JSON.stringify(body) : body,
    });
    if (!response.ok) {
      throw new ApiError(response.status, await response.json().catch(() => ({})));
    }
    return response;
  }

  async json(functionName, method, path, options) {
    const response = await this.fetch(functionName, method, path, options);
    return response.status === 204 ? null : response.json();
  }

  connection(method, path, body) {
    return this.json("oauth_callback", method, path, { body });
  }

  mail(method, path, body, headers) {
    return this.json("mail_proxy", method, path, { body, headers });
  }
}
