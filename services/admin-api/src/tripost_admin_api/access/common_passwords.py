"""Passwords that are tried first: those with eight or more characters that head the lists of stolen ones.

In lower case; shorter ones, and those of one repeated character, are refused whatever they are.
"""

from typing import Final

_IN_ROWS: Final = """
0123456789 0987654321 1029384756 11112222 11223344 1122334455 112233445566 12121212 123123123 1231231234
12341234 12344321 123454321 1234512345 12345678 12345678910 1234567890 123456789 123456789a 12345678a
123456abc 1234abcd 1234qwer 123654789 123qweasd 123qwe123 123321123 12qwaszx 13131313 147258369 147852369 19871987
1a2b3c4d 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc 1qazxsw2 20202020 21212121 23232323 741852963
78945612 789456123 87654321 963852741 987654321 9876543210 98765432 999888777
a1234567 a12345678 a123456789 a1b2c3d4 aa123456 aa12345678 abc12345 abc123456 abcd1234 abcdefgh abcdefghi
admin123 admin1234 admin12345 admin123456 adminadmin administrator alexander angel123 asdasdasd asdf1234 asdfasdf
asdfghjk asdfghjkl asdfjkl; azertyuiop babygirl baseball basketball butterfly changeit changeme changeme1
changeme123 charlie1 chocolate christian computer corvette danielle december default1 dragon123 elephant
facebook football football1 goodluck guest123 harrypotter helloworld hello123 iloveyou iloveyou1 iloveyou2 india123
internet jennifer jonathan jordan23 lasvegas letmein1 letmein123 letmein! liverpool liverpool1 logitech
lovelove manchester marlboro master123 mercedes metallica michelle michael1 midnight minecraft monkey123 mustang1
naruto123 november october1 operator p@$$w0rd p@ssw0rd p@ssword pa$$w0rd pass1234 passpass passw0rd passw0rd1
password password! password0 password01 password1 password1! password11 password12 password123 password1234
password12345 password2 password3 patricia pokemon1 postmaster princess princess1 q1w2e3r4 q1w2e3r4t5 qazwsx123
qazwsxedc qq123456 qwe123456 qweasdzxc qweqweqwe qwer1234 qwerasdf qwert123 qwerty12 qwerty123 qwerty1234
qwerty12345 qwerty123456 qwertyui qwertyuiop root1234 rootroot samantha samsung1 scooter1 secret12 secret123
security september shadow123 snoopy123 spiderman startrek starwars steelers summer2023 summer2024 summer2025
sunshine sunshine1 superman superman1 superstar temp1234 temporary test1234 test12345 testtest tripost1 tripost123
trustno1 undertaker unknown1 veronica victoria welcome01 welcome1 welcome12 welcome123 whatever william1
winter2024 winter2025 woaini520 x1234567 xxxxxxx1 yourpassword z1x2c3v4 zaq12wsx zaq1zaq1 zaq1xsw2 zxcvbnm1
zxcvbnm123 zxcvzxcv
"""
COMMON_PASSWORDS: Final = frozenset(_IN_ROWS.split())
