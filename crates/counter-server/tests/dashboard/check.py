"""Looks at the dashboard of a server in a headless Chromium: what is counted through RESP has to show up.

Arguments: the path of chromium, the ports of RESP and HTTP, the port of HTTP of a server that demands a token, the token,
and optionally a directory for screenshots.
"""

import pathlib
import socket
import sys

from playwright.sync_api import expect, sync_playwright

CHROMIUM, RESP, HTTP = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
GUARDED, TOKEN = int(sys.argv[4]), sys.argv[5]
SHOTS = pathlib.Path(sys.argv[6]) if len(sys.argv) > 6 else None
URL = f"http://127.0.0.1:{HTTP}/"

# A sample is taken every second, on a machine that has other things to do.
expect.set_options(timeout=60_000)


def resp(*commands):
    """Sends inline commands, and waits for as many replies of one line."""
    with socket.create_connection(("127.0.0.1", RESP)) as connection:
        connection.sendall("".join(command + "\r\n" for command in commands).encode())
        replies = connection.makefile("rb")
        return [replies.readline().decode().strip() for _ in commands]


def shoot(page, name):
    if SHOTS:
        page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def row(page, table, name):
    return page.locator(f"#{table} tr").filter(has=page.get_by_text(name, exact=True)).locator("td")


def check_numbers(page):
    """Counts through RESP, and waits until the page shows it."""
    expect(page.locator("#state")).to_have_text("ready")
    assert resp("INCRBY page:/ 1234567", "INCR page:/about") == [":1234567", ":1"]
    expect(page.locator("#total")).to_have_text("1,234,568")
    expect(page.locator("#counters")).to_have_text("2")
    expect(row(page, "top", "page:/").nth(1)).to_have_text("1,234,567")
    expect(row(page, "fronts", "resp").nth(3)).to_have_text("2")
    assert resp("INCR page:/") == [":1234568"]
    expect(row(page, "top", "page:/").nth(1)).to_have_text("1,234,568")
    expect(page.locator("#plot canvas")).to_have_count(1)


def check_search(page):
    """Searches by keyboard, and sees what changes afterwards, to the last digit of 64 bits."""
    page.keyboard.press("/")
    page.keyboard.type("page:/a")
    expect(row(page, "found", "page:/about").nth(1)).to_have_text("1")
    expect(page.locator("#found tr")).to_have_count(1)
    resp("SET page:/about 9223372036854775806", "INCR page:/about", "SET page:/api 5", "SET other 1")
    expect(row(page, "found", "page:/about").nth(1)).to_have_text("9,223,372,036,854,775,807")
    expect(row(page, "found", "page:/api").nth(1)).to_have_text("5")
    resp("DEL page:/about")
    expect(page.locator("#found tr")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#found tr")).to_have_count(0)
    expect(page.locator("#prefix")).to_have_value("")


def becomes(page, condition, argument=None):
    """Waits until a condition holds on the page: it is not laid out at once."""
    page.wait_for_function(condition, arg=argument, timeout=60_000)


def check_themes_and_phone(page):
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("t")
    becomes(page, "light => getComputedStyle(document.body).backgroundColor !== light", light)
    for _ in range(3):
        page.keyboard.press("Tab")
    becomes(page, "['BUTTON', 'INPUT'].includes(document.activeElement.tagName)")
    page.set_viewport_size({"width": 360, "height": 740})
    # A phone does not scroll sideways, and shows all of each number.
    becomes(page, "innerWidth === 360 && document.documentElement.scrollWidth <= 360")
    becomes(page, """[...document.querySelectorAll("th, td:not(:first-child)")]
        .every(cell => cell.scrollWidth <= cell.clientWidth + 1)""")
    shoot(page, "phone-dark")
    page.set_viewport_size({"width": 1280, "height": 900})


def check_hostile_names(page):
    resp('SET "<img src=x onerror=alert(1)>" 7000000', 'SET "\\xff\\x00" 6000000')
    expect(row(page, "top", "<img src=x onerror=alert(1)>").nth(1)).to_have_text("7,000,000")
    expect(row(page, "top", "\\xff\\x00").nth(1)).to_have_text("6,000,000")
    assert page.locator("#top img").count() == 0


def check_token(browser):
    """Signs in where a token is demanded, after a wrong one."""
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{GUARDED}/")
    for token, status, state in (("wrong", 401, "connecting"), (TOKEN, 200, "ready")):
        header = f"Bearer {token}"
        with page.expect_response(lambda response: response.request.headers.get("authorization") == header) as answered:
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Sign in").click()
        assert answered.value.status == status
        expect(page.locator("#state")).to_have_text(state)
    expect(page.locator("#login")).to_be_hidden()
    expect(page.locator("#counters")).to_have_text("0")


def main():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        errors = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.goto(URL)
        for check in (check_numbers, check_search, check_themes_and_phone, check_hostile_names):
            check(page)
            print(check.__name__, "ok")
        assert not errors, errors
        check_token(browser)
        print(check_token.__name__, "ok")
        browser.close()


main()
