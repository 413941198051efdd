// Counts clients by their address, and logins by how they end: three that fail block a name for an hour.
//
// Runs without a compiler, so decorators are called as the functions they are. In TypeScript they stand where they belong:
//
//   @Post("login")
//   @RateLimit({ charge: ... })
//   login(authorization) {}
import {
  Controller,
  Get,
  Header,
  Headers,
  HttpCode,
  HttpException,
  Module,
  Post,
} from "@nestjs/common";
import { APP_GUARD, NestFactory } from "@nestjs/core";
import { fixedWindow, RateLimiter, tokenBucket } from "sluice";
import { RateLimit, RateLimitGuard, RateLimitModule, SkipRateLimit } from "sluice/nest";

const perAddress = new RateLimiter({
  policy: tokenBucket({ name: "address", limit: 100, period: "1m" }),
});
const failures = new RateLimiter({
  policy: fixedWindow({ name: "failures", limit: 3, window: "10m", align: "first" }),
  blockFor: "1h",
});

/** @param {string} authorization */
function credentials(authorization = "") {
  const [name = "", password = ""] = atob(authorization.replace("Basic ", "")).split(":");
  return { name, password };
}

class AppController {
  home() {
    return "hello\n";
  }

  health() {
    return "ok\n";
  }

  /** @param {string} authorization */
  login(authorization) {
    if (credentials(authorization).password !== "secret") throw new HttpException("wrong", 401);
  }
}

/**
 * @param {"home" | "health" | "login"} name
 * @param {MethodDecorator[]} decorators
 */
function decorate(name, ...decorators) {
  const { prototype } = AppController;
  const method = Object.getOwnPropertyDescriptor(prototype, name);
  for (const decorator of decorators) decorator(prototype, name, method ?? {});
}

const text = Header("Content-Type", "text/plain");
decorate("home", Get(), text);
decorate("health", Get("health"), text, SkipRateLimit());
decorate(
  "login",
  Post("login"),
  HttpCode(204),
  RateLimit({
    charge: (_context, call) => [
      { limiter: perAddress, key: call.address },
      {
        limiter: failures,
        key: credentials(call.header("authorization")).name,
        settle: ({ status }) => (status === 401 ? 1 : 0),
        show: false,
      },
    ],
  }),
);
Headers("authorization")(AppController.prototype, "login", 0);
Controller()(AppController);

// To Nest a module is a class.
// oxlint-disable-next-line typescript/no-extraneous-class
class AppModule {}
Module({
  imports: [RateLimitModule.forRoot(perAddress)],
  controllers: [AppController],
  providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
})(AppModule);

const app = await NestFactory.create(AppModule, { logger: ["error"] });
await app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
console.log(`listening on ${await app.getUrl()}`);
process.once("SIGTERM", () => void app.close());
